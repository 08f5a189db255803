package group

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
)

// These benchmarks measure the cost of a leader's work with many edges and many leases. Each runs over the same group
// with increasing numbers of both. The log is only a mutex and a machine, so the result is the leader's own work.

// growth is a group of one node with edges that acknowledge at once, all messages of an interval together.
type growth struct {
	*Authority
	mu       sync.Mutex // guards the log
	index    uint64
	adapter  *Machine
	sids     []ident.SessionID
	keys     int
	messages atomic.Int64
	revoked  atomic.Int64
	edges    chan held
	answered chan struct{} // closed when edges has ended
}

// held is a revocation in flight.
type held struct {
	nonce ident.Nonce
	r     words.Revocation
}

// newGrowth returns a group with the given numbers of edges and leases. Key k is held by holders edges, from edge k
// on.
func newGrowth(b *testing.B, edges, leases, holders int) *growth {
	b.Helper()
	return newGrowthOf(b, edges, leases, holders, -1) // the benchmark measures work, not waiting
}

func newGrowthOf(b *testing.B, edges, leases, holders int, gather time.Duration) *growth {
	b.Helper()
	m, err := fsm.Open(engine.NewMemory())
	if err != nil {
		b.Fatal(err)
	}
	g := &growth{edges: make(chan held, 1<<16), answered: make(chan struct{}), keys: leases / holders}
	g.Authority, err = New(Config{Group: "g.1", Node: "a", Machine: m, Clock: newClock(), Revoker: g, CoolDown: -1, Gather: gather})
	if err != nil {
		b.Fatal(err)
	}
	g.adapter = g.Machine()
	g.Attach(g)
	go g.answer()
	b.Cleanup(func() {
		g.Close()
		close(g.edges)
		<-g.answered
	})
	g.apply(b, testInit)
	g.apply(b, fsm.TermStart{Node: "a"})
	for i := range edges {
		g.sids = append(g.sids, g.apply(b, fsm.SessionOpen{Node: api.NodeID(fmt.Sprint("edge-", i)), Nonce: nonceOf(i), T: time.Minute}).Session)
	}
	for k := 0; k < g.keys; k += 100 {
		items := map[int][]api.Key{}
		for i := k; i < min(k+100, g.keys); i++ {
			for h := range holders {
				items[(i+h)%edges] = append(items[(i+h)%edges], growthKey(i))
			}
		}
		c := fsm.Grant{Term: 1}
		for e, keys := range items {
			c.Items = append(c.Items, fsm.GrantItem{Session: g.sids[e], Keys: keys})
		}
		g.apply(b, c)
	}
	if got := m.Meta().Leases; got != g.keys*holders {
		b.Fatalf("%d leases were given, not %d", got, g.keys*holders)
	}
	return g
}

func nonceOf(edge int) ident.Nonce { return ident.Nonce{byte(edge), byte(edge >> 8), 1} }

func growthKey(i int) api.Key { return api.Key(fmt.Sprintf("growth/%07d", i)) }

func (g *growth) apply(b *testing.B, c fsm.Command) fsm.Result {
	b.Helper()
	res, _ := g.Propose(context.Background(), fsm.Encode(c, fsm.NewestLevel))
	if res.Err != nil {
		b.Fatal(res.Err)
	}
	return res
}

// Propose and the methods below implement Replica.
func (g *growth) Propose(_ context.Context, command []byte) (fsm.Result, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.index++
	results, err := g.adapter.Apply(g.index, 1, [][]byte{command})
	if err != nil {
		return fsm.Result{}, err
	}
	return results[0], nil
}
func (g *growth) QuorumConfirm(context.Context, uint64) error { return nil }
func (g *growth) Leader() (string, uint64)                    { return "a", 1 }

// Revoke implements Revoker.
func (g *growth) Revoke(nonce ident.Nonce, _ api.NodeID, r words.Revocation) error {
	g.messages.Add(1)
	g.revoked.Add(int64(len(r.Leases)))
	g.edges <- held{nonce, r}
	return nil
}

// answer answers for all the edges.
func (g *growth) answer() {
	defer close(g.answered)
	for x := range g.edges {
		g.Acked(words.RevokeAck{Group: "g.1", Session: x.r.Session, Nonce: x.nonce, Node: "e", Leases: x.r.Leases})
	}
}

// lease gives the holders of the keys their leases again.
func (g *growth) lease(b *testing.B, holders int, keys ...int) {
	b.Helper()
	c := fsm.Grant{Term: 1}
	for _, k := range keys {
		for h := range holders {
			c.Items = append(c.Items, fsm.GrantItem{Session: g.sids[(k+h)%len(g.sids)], Keys: []api.Key{growthKey(k)}})
		}
	}
	g.apply(b, c)
}

// growthSizes are numbers of edges and of leases.
var growthSizes = []struct{ edges, leases int }{
	{10, 10_000}, {10, 100_000}, {10, 1_000_000}, {100, 100_000}, {100, 1_000_000}, {1000, 10_000}, {1000, 100_000}, {1000, 1_000_000},
}

func benchGrowth(b *testing.B, holders int, f func(b *testing.B, g *growth)) {
	for _, s := range growthSizes {
		b.Run(fmt.Sprintf("edges=%d/leases=%d", s.edges, s.leases), func(b *testing.B) {
			g := newGrowth(b, s.edges, s.leases, min(holders, s.edges))
			b.ReportAllocs()
			b.ResetTimer()
			f(b, g)
		})
	}
}

// BenchmarkKeepAlive measures one keep-alive of one session, with all that an edge sends. A keep-alive names no keys,
// so its cost does not depend on how much is read. ms/s is the cost of the keep-alives of all sessions per second.
func BenchmarkKeepAlive(b *testing.B) {
	benchGrowth(b, 1, func(b *testing.B, g *growth) {
		clock := newClock()
		for i := range b.N {
			e := i % len(g.sids)
			k := &words.KeepAlive{Node: "e", Nonce: nonceOf(e), Seq: uint64(i), Clock: clock.Now()}
			s, ok := g.KeepAlive(context.Background(), k, words.SessionKeepAlive{Group: "g.1", Session: g.sids[e]})
			if !ok || !s.Extended {
				b.Fatalf("the session is not renewed: %+v", s)
			}
		}
		each := b.Elapsed().Seconds() / float64(b.N)
		b.ReportMetric(each*float64(len(g.sids))/words.DefaultKeepAlive.Seconds()*1000, "ms/s")
	})
}

// BenchmarkFanOut measures one write of a key with the given number of holders.
func BenchmarkFanOut(b *testing.B) {
	for _, holders := range []int{0, 1, 10, 64} {
		b.Run(fmt.Sprintf("holders=%d", holders), func(b *testing.B) {
			for _, leases := range []int{64_000, 640_000} {
				b.Run(fmt.Sprintf("edges=1000/leases=%d", leases), func(b *testing.B) {
					g := newGrowth(b, 1000, leases, max(holders, 1))
					b.ResetTimer()
					for i := range b.N {
						k := i % g.keys
						b.StopTimer()
						if holders == 0 {
							g.apply(b, fsm.Release{Leases: []ident.DroppedLease{{Session: g.sids[k%1000], Key: growthKey(k), Lease: 1 << 60}}})
						} else {
							g.lease(b, holders, k)
						}
						b.StartTimer()
						g.write(b, k)
					}
					b.ReportMetric(float64(g.messages.Load())/float64(b.N), "messages/write")
				})
			}
		})
	}
}

func (g *growth) write(b *testing.B, keys ...int) {
	t := &words.Txn{}
	for _, k := range keys {
		t.Then = append(t.Then, api.Op{Kind: api.OpPut, Key: growthKey(k), Value: []byte("v")})
	}
	if _, err := g.Do(context.Background(), t); err != nil {
		b.Error(err)
	}
}

// BenchmarkRevokeTxn measures one transaction over a thousand keys, each held by one of the edges.
func BenchmarkRevokeTxn(b *testing.B) {
	for _, edges := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("edges=%d", edges), func(b *testing.B) {
			g := newGrowth(b, edges, 100_000, 1)
			keys := make([]int, api.MaxTxnOps)
			for i := range keys {
				keys[i] = i
			}
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				g.lease(b, 1, keys...)
				b.StartTimer()
				g.write(b, keys...)
			}
			b.ReportMetric(float64(g.messages.Load())/float64(g.revoked.Load()), "messages/lease")
		})
	}
}

// BenchmarkRevokeBurst measures 256 concurrent writers of keys that few edges hold. An operation is one write.
func BenchmarkRevokeBurst(b *testing.B) {
	const writers = 256
	for _, edges := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("edges=%d", edges), func(b *testing.B) {
			g := newGrowthOf(b, edges, 100_000, 1, 0)
			b.ResetTimer()
			for done := 0; done < b.N; done += writers {
				b.StopTimer()
				keys := make([]int, writers)
				for i := range keys {
					keys[i] = (done + i) % g.keys
				}
				g.lease(b, 1, keys...)
				b.StartTimer()
				var wg sync.WaitGroup
				for _, k := range keys {
					wg.Go(func() { g.write(b, k) })
				}
				wg.Wait()
			}
			b.ReportMetric(float64(g.messages.Load())/float64(g.revoked.Load()), "messages/lease")
		})
	}
}

// BenchmarkGrantReads measures one read that gets leases on its keys.
func BenchmarkGrantReads(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("keys=%d", batch), func(b *testing.B) {
			benchGrowth(b, 1, func(b *testing.B, g *growth) {
				at := 0
				for i := range b.N {
					q := &words.ReadRequest{Group: "g.1", Session: g.sids[i%len(g.sids)]}
					for range batch {
						q.Keys = append(q.Keys, growthKey(at%g.keys))
						at++
					}
					if _, err := words.Read(context.Background(), g, q); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(at), "us/lease")
			})
		})
	}
}

// BenchmarkOwing measures one write of a key with a holder that answers, while the given number of other holders owe
// an answer for other keys.
func BenchmarkOwing(b *testing.B) {
	for _, edges := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("owing=%d", edges), func(b *testing.B) {
			g := newGrowth(b, edges+1, 100_000, 1)
			g.Authority.mu.Lock()
			for e := range edges {
				h, _ := g.holderLocked(g.lead, g.sids[e])
				g.lead.revoke(h, growthKey(e), 1<<60, time.Now().Add(time.Hour), nil) // never overdue, never sent
				h.unsent = nil
			}
			g.lead.unsent = nil
			g.Authority.mu.Unlock()
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				g.lease(b, 1, edges)
				b.StartTimer()
				g.write(b, edges)
			}
		})
	}
}

// BenchmarkSweep measures one pass of the sweeper when there is nothing to do.
func BenchmarkSweep(b *testing.B) {
	for _, edges := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("edges=%d", edges), func(b *testing.B) {
			g := newGrowth(b, edges, 100_000, 1)
			s := sweeper{Authority: g.Authority, epochSince: time.Now()}
			b.ResetTimer()
			for range b.N {
				s.pass()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*edges), "ns/session")
		})
	}
}
