package group

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestSweep checks that a session that no write waits for is ended a while after it has expired, and that a live
// session is not.
func TestSweep(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, dead, alive := l.node("a"), l.edge("dead"), l.edge("alive")
		defer dead.close()
		defer alive.close()
		alive.live()
		dead.lease(a, "k")
		time.Sleep(time.Minute)
		if n := a.machine.Meta().Sessions; n != 2 {
			t.Fatalf("%d sessions after a minute, want 2", n)
		}
		time.Sleep(20 * time.Second)
		m := a.machine.Meta()
		if m.Sessions != 1 || m.Leases != 0 {
			t.Fatalf("%d sessions, %d leases after W + a minute, want the live session alone", m.Sessions, m.Leases)
		}
		a.authority.mu.Lock()
		defer a.authority.mu.Unlock()
		if n := len(a.authority.rates.of); n != 1 {
			t.Errorf("%d clock rates are kept for one process", n)
		}
	})
}

// TestTrim checks that the leader drops old tombstones and ends old dedup epochs, even over a change of leaders, and
// that an idle group stays nearly idle.
func TestTrim(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.mustWrite(put("k", "x"))
		a.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "k"}}}})
		first := a.mustRead("k").Version
		time.Sleep(40 * time.Minute)
		if n := a.machine.Meta().Tombstones; n != 1 {
			t.Fatalf("%d tombstones after 40 minutes, want 1", n)
		}
		before := a.machine.Meta()
		b := l.elect("b")
		time.Sleep(40 * time.Minute)
		m := b.machine.Meta()
		if m.Tombstones != 0 || m.DedupEpoch != before.DedupEpoch+1 {
			t.Errorf("%d tombstones, epoch %d after 80 minutes", m.Tombstones, m.DedupEpoch)
		}
		if m.Counter > before.Counter+10 {
			t.Errorf("%d commands in an idle group", m.Counter-before.Counter)
		}
		if v := b.mustRead("k").Version; v.Compare(first) < 0 {
			t.Errorf("the version of absence fell from %v to %v", first, v)
		}
	})
}

// TestTrimKeepsUp checks that tombstones are dropped as fast as they are made, even if they are more than one command
// drops.
func TestTrimKeepsUp(t *testing.T) {
	if testing.Short() {
		t.Skip("tens of thousands of writes, for a rate")
	}
	bubble(t, func(c *Config) { c.TombstoneAge = 10 * time.Minute }, func(t *testing.T, l *testLog) {
		a := l.node("a")
		for i := range 30 { // a thousand a second for half a minute
			for part := range 10 {
				x := &words.Txn{}
				for k := range 100 {
					x.Then = append(x.Then, api.Op{Kind: api.OpDelete, Key: api.Key(fmt.Sprintf("k/%d/%d/%d", i, part, k))})
				}
				a.mustWrite(x)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(9 * time.Minute)
		if n := a.machine.Meta().Tombstones; n != 30_000 {
			t.Fatalf("%d tombstones before their time", n)
		}
		time.Sleep(2 * time.Minute)
		if n := a.machine.Meta().Tombstones; n != 0 {
			t.Errorf("%d tombstones after it", n)
		}
	})
}

// TestExpiry checks that everything that is remembered of requests and transactions is dropped when it is due, even
// if it is more than one command reads. A group in which nothing can be too old yet is not swept again and again.
func TestExpiry(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of requests, one after the other")
	}
	for name, remember := range map[string]func(a *testNode, i int){
		"records": func(a *testNode, i int) {
			w := put("k", "v")
			w.ID.Client = api.ClientID{1, byte(i), byte(i >> 8)}
			a.mustWrite(w)
		},
		"clients": func(a *testNode, i int) {
			a.log.mu.Lock()
			defer a.log.mu.Unlock()
			a.log.appendLocked(fsm.Encode(fsm.Forget{Client: api.ClientID{1, byte(i), byte(i >> 8)}, Below: 5}, fsm.NewestLevel))
		},
		"decisions": func(a *testNode, i int) {
			id := ident.TxnID{Client: api.ClientID{1, byte(i), byte(i >> 8)}, Attempt: 1, Decider: "g.1"}
			ref := ident.TxnRef{ID: id, Epoch: uint64(a.machine.Meta().DedupEpoch)}
			if _, err := a.authority.Decide(context.Background(), &fsm.Decide{Txn: ref, Outcome: ident.TxnCommitted}); err != nil {
				a.log.t.Fatal(err)
			}
		},
		"notes": func(a *testNode, i int) {
			id := ident.TxnID{Client: api.ClientID{1, byte(i), byte(i >> 8)}, Attempt: 1, Decider: "g.2"}
			if err := a.authority.Resolve(context.Background(), fsm.Resolve{Group: "g.1", Txn: id, Outcome: ident.TxnCommitted}); err != nil {
				a.log.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLog(t, nil, "a")
				defer l.close()
				l.settle()
				a := l.node("a")
				for i := range 5000 {
					remember(a, i)
				}
				before := a.machine.Meta().Counter
				time.Sleep(24 * time.Hour)
				m := a.machine.Meta()
				if !a.machine.Remembers() || max(m.Records, m.Decisions, m.Finished) < 5000 && name != "clients" {
					t.Fatalf("before its time: %+v", m)
				}
				if n := m.Counter - before; n > 24*10 {
					t.Errorf("%d commands in a day in which nothing could go", n)
				}
				time.Sleep(2 * time.Hour)
				if a.machine.Remembers() {
					t.Errorf("a day and two hours later: %+v", a.machine.Meta())
				}
			})
		})
	}
}

// TestShareFollowsTheRows checks that a round is over in a quarter of an epoch, however much is remembered.
func TestShareFollowsTheRows(t *testing.T) {
	for _, rows := range []int{0, 1, sweepRows - 1, 1_000_000, fsm.MaxRecords + fsm.MaxDecisions + fsm.MaxFinished} {
		s := sweeper{Authority: &Authority{cfg: Config{DedupEpoch: time.Hour}}}
		n := s.share(fsm.Meta{Records: rows / 2, Decisions: rows - rows/2})
		took := time.Duration(1+rows/(n*sweepRows)) * sweepEvery
		if took > 15*time.Minute+sweepEvery || n > sweepCommands || rows < sweepRows && n > 1 {
			t.Errorf("%d rows: %d commands in a pass, and a round takes %v", rows, n, took)
		}
	}
}

// testMetrics records the sums by name and label values.
type testMetrics struct {
	mu   sync.Mutex
	sums map[string]float64
}

func (m *testMetrics) Counter(name, _ string, _ ...string) func(float64, ...string) {
	return func(n float64, values ...string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.sums[fmt.Sprint(name, values)] += n
	}
}
func (m *testMetrics) Gauge(string, string, func() float64) {}
func (m *testMetrics) FineHistogram(name, help string, labels ...string) func(float64, ...string) {
	return m.Histogram(name, help, labels...)
}

func (m *testMetrics) Histogram(name, help string, labels ...string) func(float64, ...string) {
	return m.Counter(name, help, labels...)
}

// TestMetrics checks that the metrics show which node delayed a write and for how long.
func TestMetrics(t *testing.T) {
	m := &testMetrics{sums: map[string]float64{}}
	bubble(t, func(c *Config) { c.Metrics = m }, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("dead")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.down = true })
		a.mustWrite(put("k", "new"))
		m.mu.Lock()
		defer m.mu.Unlock()
		if s := m.sums["edgehold_region_write_delay_seconds[dead]"]; s < grantorWait.Seconds() {
			t.Errorf("the delay by the dead node is %v s", s)
		}
		for _, name := range []string{
			"edgehold_region_grants_total[]", "edgehold_region_revocations_total[]",
			"edgehold_region_suspects_total[dead]", "edgehold_region_expiries_total[dead]",
		} {
			if m.sums[name] != 1 {
				t.Errorf("%s is %v, want 1", name, m.sums[name])
			}
		}
	})
}

// TestNodeLabelsAreBounded checks that node labels are bounded, since a node chooses its own name.
func TestNodeLabelsAreBounded(t *testing.T) {
	n := nodeLabels{known: map[api.NodeID]bool{}}
	for i := range 2 * maxNodeLabels {
		n.label(api.NodeID(fmt.Sprint(i)))
	}
	if len(n.known) > maxNodeLabels || n.label("new") != "other" || n.label("1") != "1" {
		t.Errorf("%d labels", len(n.known))
	}
}
