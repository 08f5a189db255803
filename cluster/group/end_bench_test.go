package group

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
)

// BenchmarkSessionsEnd ends ten sessions of 100,000 leases each at once, on a machine on disk, and reports how long writes of other
// keys and keep-alives of another session take until the last of their rows has gone.
//
//	go test ./cluster/group -run '^$' -bench SessionsEnd -benchtime 1x
func BenchmarkSessionsEnd(b *testing.B) {
	const sessions, leases = 10, 100_000
	for b.Loop() {
		b.StopTimer()
		g := newGrowthOnDisk(b)
		dead := g.leaseAll(b, sessions, leases)
		live := g.apply(b, fsm.SessionOpen{Node: "live", Nonce: nonceOf(sessions), T: time.Minute}).Session
		var writes, renewals delays
		stop := make(chan struct{})
		var busy sync.WaitGroup
		for w := range 4 {
			busy.Go(func() {
				for i := 0; !closed(stop); i++ {
					c := fsm.Write{Term: 1, Txn: put(api.Key(fmt.Sprintf("free/%d/%d", w, i)), "v").Txn}
					writes.measure(func() {
						if res, _ := g.Propose(b.Context(), fsm.Encode(c, fsm.NewestLevel)); res.Err != nil {
							b.Error(res.Err)
						}
					})
				}
			})
		}
		busy.Go(func() {
			for !closed(stop) {
				renewals.measure(func() { g.cfg.Machine.Session(live) })
			}
		})
		b.StartTimer()
		g.apply(b, fsm.Kill{Term: 1, Sessions: dead})
		for g.cfg.Machine.Meta().Ended > 0 {
			time.Sleep(time.Millisecond)
		}
		b.StopTimer()
		close(stop)
		busy.Wait()
		b.ReportMetric(writes.at(0.5), "write-p50-ms")
		b.ReportMetric(writes.at(0.99), "write-p99-ms")
		b.ReportMetric(writes.at(1), "write-max-ms")
		b.ReportMetric(renewals.at(0.99), "session-p99-ms")
		b.StartTimer()
	}
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-time.After(time.Millisecond):
		return false
	}
}

// newGrowthOnDisk returns a group without edges on an engine on disk.
func newGrowthOnDisk(b *testing.B) *growth {
	b.Helper()
	e, err := engine.OpenPebble(engine.Config{Dir: b.TempDir(), Cache: engine.NewCache(64 << 20)})
	if err != nil {
		b.Fatal(err)
	}
	m, err := fsm.Open(e)
	if err != nil {
		b.Fatal(err)
	}
	g := &growth{}
	if g.Authority, err = New(Config{Group: "g.1", Node: "a", Machine: m, Clock: newClock()}); err != nil {
		b.Fatal(err)
	}
	g.adapter = g.Machine()
	g.Attach(g)
	b.Cleanup(func() {
		g.Close()
		_ = e.Close()
	})
	g.apply(b, testInit)
	g.apply(b, fsm.TermStart{Node: "a"})
	return g
}

// leaseAll opens sessions that all hold the same keys.
func (g *growth) leaseAll(b *testing.B, sessions, keys int) (sids []ident.SessionID) {
	b.Helper()
	for i := range sessions {
		sids = append(sids, g.apply(b, fsm.SessionOpen{Node: "dead", Nonce: nonceOf(i), T: 4 * time.Second}).Session)
	}
	for at := 0; at < keys; at += 1000 {
		part := make([]api.Key, 0, 1000)
		for i := at; i < at+1000; i++ {
			part = append(part, growthKey(i))
		}
		c := fsm.Grant{Term: 1}
		for _, s := range sids {
			c.Items = append(c.Items, fsm.GrantItem{Session: s, Keys: part})
		}
		g.apply(b, c)
	}
	return sids
}

// delays are measured durations.
type delays struct {
	mu sync.Mutex
	ds []time.Duration
}

func (d *delays) measure(f func()) {
	began := time.Now()
	f()
	took := time.Since(began)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ds = append(d.ds, took)
}

// at returns the quantile in milliseconds.
func (d *delays) at(q float64) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	slices.Sort(d.ds)
	return float64(d.ds[int(q*float64(len(d.ds)-1))].Microseconds()) / 1000
}
