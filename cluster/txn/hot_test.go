package txn

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestOldestGoesOn checks that of transactions that meet on hot keys, the oldest is never aborted for a lock, and that
// all of them succeed.
func TestOldestGoesOn(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		var busy sync.WaitGroup
		stop := make(chan struct{})
		var done atomic.Int64
		for i := range 8 {
			g := w.gateway([]string{"us", "eu"}[i%2], func(c *Config) { c.Rand = nil })
			busy.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					tx := &words.Txn{Txn: api.Txn{Then: []api.Op{addOp("us/hot", 1), addOp("eu/hot", 1)}}}
					if i%3 != 0 {
						tx = leasedOn(tx, "eu/far")
					}
					if _, err := g.Do(within(t, 20*time.Second), tx); err != nil {
						t.Errorf("%d of %d: %v", n, i, err)
					}
					done.Add(1)
				}
			})
		}
		old := w.gateway("us")
		for range 10 {
			time.Sleep(100 * time.Millisecond)
			tx := leasedOn(&words.Txn{Txn: api.Txn{Then: []api.Op{addOp("us/hot", 1), addOp("eu/hot", 1)}}}, "eu/far")
			began := time.Now()
			if _, err := old.doAt(within(t, 20*time.Second), tx, began.Add(-10*time.Second)); err != nil {
				t.Error(err)
			}
			done.Add(1)
			if took := time.Since(began); took > 10*q {
				t.Errorf("the oldest took %v", took)
			}
		}
		close(stop)
		busy.Wait()
		if n := old.counts.of("edgehold_txn_retries_total contention"); n > 0 {
			t.Errorf("the oldest gave way %v times", n)
		}
		w.settled(20 * q)
		if sum := fmt.Sprint(done.Load()); w.value("us/hot") != sum || w.value("eu/hot") != sum {
			t.Errorf("%s transactions made %q and %q", sum, w.value("us/hot"), w.value("eu/hot"))
		}
	})
}

// doAt is Do for a transaction that this gateway has been trying since began.
func (c *Coordinator) doAt(ctx context.Context, t *words.Txn, began time.Time) (*api.TxnResult, error) {
	r := c.begin(t)
	defer r.end()
	r.age = uint64(began.UnixNano())
	return r.run(ctx)
}

// TestReadersDoNotStarveWriters checks that an older transaction writes a key that younger transactions lock to read,
// one after the other, so that the key is never free.
func TestReadersDoNotStarveWriters(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		var busy sync.WaitGroup
		stop := make(chan struct{})
		for i := range 12 {
			g := w.gateway("us", func(c *Config) { c.Rand = nil })
			busy.Go(func() {
				time.Sleep(time.Duration(i) * q / 6)
				for {
					select {
					case <-stop:
						return
					default:
					}
					tx := leasedOn(&words.Txn{Txn: api.Txn{If: []api.Cond{{Kind: api.CondAbsent, Key: "eu/read"}}, Then: []api.Op{putOp(api.Key(fmt.Sprintf("us/%d", i)), "1")}}}, "eu/far")
					_, _ = g.Do(within(t, 20*time.Second), tx)
				}
			})
		}
		time.Sleep(10 * q)
		began := time.Now()
		_, err := w.gateway("us").Do(within(t, 20*time.Second), leasedOn(&words.Txn{Txn: api.Txn{Age: 1, Then: []api.Op{addOp("us/w", 1), addOp("eu/read", 1)}}}, "eu/far"))
		if took := time.Since(began); err != nil || took > 10*q {
			t.Errorf("after %v: %v", took, err)
		}
		close(stop)
		busy.Wait()
		w.settled(20 * q)
	})
}

// TestLockedReadEndsItsTurns checks that a read of several groups that has come to lock its keys keeps its age, however
// long ago it began. When the read is over, the places in the wait queue that its rounds have kept are over as well.
func TestLockedReadEndsItsTurns(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		read := &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"us/a", "eu/a"}, Snapshot: true}, Age: ageOfClock(-5 * time.Second), Hold: words.HoldRound}
		if _, err := words.Read(within(t, time.Second), g.cfg.Store, read); err != nil {
			t.Fatal(err)
		}
		if err := g.locked(within(t, 20*time.Second), read, new(words.ReadResult)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err := g.Do(within(t, 20*time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}}})
		if took := time.Since(began); err != nil || took > 4*q {
			t.Errorf("a transaction took %v after a read that was over: %v", took, err)
		}
	})
}

// TestHotKeys runs a hundred clients in two regions. Each of their transactions locks two of ten keys. All of them
// succeed, and the slowest takes not much longer than it takes to serve all others before it one after the other.
func TestHotKeys(t *testing.T) {
	const clients, each, patience = 100, 3, 30 * time.Second
	inWorld(t, 1, func(t *testing.T, w *world) {
		var busy sync.WaitGroup
		var mu sync.Mutex
		var slowest time.Duration
		for i := range clients {
			g := w.gateway([]string{"us", "eu"}[i%2], func(c *Config) { c.Rand = nil })
			busy.Go(func() {
				r := rand.New(rand.NewPCG(1, uint64(i)))
				for range each {
					us, eu := api.Key(fmt.Sprintf("us/hot%d", r.IntN(5))), api.Key(fmt.Sprintf("eu/hot%d", r.IntN(5)))
					began := time.Now()
					if _, err := g.Do(within(t, patience), &words.Txn{Txn: api.Txn{Then: []api.Op{addOp(us, 1), addOp(eu, 1)}}}); err != nil {
						t.Errorf("client %d: %v", i, err)
					}
					mu.Lock()
					slowest = max(slowest, time.Since(began))
					mu.Unlock()
				}
			})
		}
		began := time.Now()
		busy.Wait()
		t.Logf("%d transactions in %v, the slowest in %v", clients*each, time.Since(began), slowest)
		w.settled(20 * q)
		for _, region := range []string{"us", "eu"} {
			sum := 0
			for i := range 5 {
				var n int
				if _, err := fmt.Sscan(w.value(api.Key(fmt.Sprintf("%s/hot%d", region, i))), &n); err != nil {
					t.Error(err)
				}
				sum += n
			}
			if sum != clients*each {
				t.Errorf("%s counts %d", region, sum)
			}
		}
	})
}

// TestElseBesideOthers runs if/then/else over two groups, on a flag that every transaction inverts. Each transaction
// keeps its place in the wait queue from its read to its vote. So all succeed, about as many in each branch.
func TestElseBesideOthers(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		var busy sync.WaitGroup
		var done atomic.Int64
		stop := make(chan struct{})
		for i := range 16 {
			g := w.gateway([]string{"us", "eu"}[i%2], func(c *Config) { c.Rand = nil })
			busy.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					_, err := g.Do(within(t, 10*time.Second), &words.Txn{
						Txn: api.Txn{If: []api.Cond{{Kind: api.CondExists, Key: "eu/flag"}},
							Then: []api.Op{{Kind: api.OpDelete, Key: "eu/flag"}, addOp("us/thens", 1)},
							Else: []api.Op{putOp("eu/flag", "up"), addOp("us/elses", 1)}},
					})
					if err != nil {
						t.Errorf("client %d: %v", i, err)
						return
					}
					done.Add(1)
				}
			})
		}
		time.Sleep(20 * time.Second)
		close(stop)
		busy.Wait()
		w.settled(20 * q)
		var thens, elses int64
		_, _ = fmt.Sscan(w.value("us/thens"), &thens)
		_, _ = fmt.Sscan(w.value("us/elses"), &elses)
		if thens+elses != done.Load() || elses-thens < 0 || elses-thens > 1 {
			t.Errorf("%d transactions made %d thens and %d elses", done.Load(), thens, elses)
		}
		if done.Load() < 50 {
			t.Errorf("only %d in 20 s", done.Load())
		}
	})
}

// TestClientsAge checks that clients whose clock is an hour behind, so that they claim to be the oldest, do not starve
// a client whose clock is right.
func TestClientsAge(t *testing.T) {
	if testing.Short() {
		t.Skip("how many of many clients get through")
	}
	const late = 10
	inWorld(t, 1, func(t *testing.T, w *world) {
		var busy sync.WaitGroup
		stop := make(chan struct{})
		var lates, right atomic.Int64
		run := func(skew time.Duration, n *atomic.Int64) {
			g := w.gateway("us", func(c *Config) { c.Rand = nil })
			busy.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					tx := leasedOn(&words.Txn{Txn: api.Txn{Age: ageOfClock(skew), Then: []api.Op{addOp("us/hot", 1), addOp("eu/hot", 1)}}}, "eu/far")
					if _, err := g.Do(within(t, 10*time.Second), tx); err == nil {
						n.Add(1)
					}
				}
			})
		}
		for range late {
			run(-time.Hour, &lates)
		}
		run(0, &right)
		time.Sleep(6 * time.Minute)
		close(stop)
		busy.Wait()
		if mean := lates.Load() / late; right.Load() < mean*45/100 {
			t.Errorf("%d transactions of the one, %d of each of the others", right.Load(), mean)
		}
	})
}

func ageOfClock(skew time.Duration) uint64 { return uint64(time.Now().Add(skew).UnixNano()) }

// TestFailedConditionHoldsNothing checks a transaction whose condition does not hold and that has nothing to do in that
// case. Once it has its answer, it keeps no other transaction off the key.
func TestFailedConditionHoldsNothing(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		res, err := g.Do(within(t, 5*time.Second), &words.Txn{Txn: api.Txn{If: []api.Cond{{Kind: api.CondExists, Key: "eu/flag"}}, Then: []api.Op{putOp("eu/flag", "a"), putOp("us/b", "b")}}})
		if err != nil || res.Committed {
			t.Fatal(res, err)
		}
		began := time.Now()
		if _, err := g.Do(within(t, 5*time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{addOp("eu/flag", 1), addOp("us/b", 1)}}}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 3*q {
			t.Errorf("the next transaction took %v", took)
		}
	})
}
