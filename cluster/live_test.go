package cluster

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/group"
	"github.com/edgehold/edgehold/fsm/placement"
)

// liveWorld is two nodes that report what the test says.
type liveWorld struct {
	mu      sync.Mutex
	asked   int
	reports map[api.NodeID]*report
}

func (w *liveWorld) set(id api.NodeID, r *report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports[id] = r
}

func (w *liveWorld) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// open returns a live over the nodes s1 and e1, of which s1 leads g1.
func (w *liveWorld) open(t *testing.T) *live {
	w.reports = map[api.NodeID]*report{}
	m := &placement.Map{Nodes: []placement.Node{
		{ID: "s1", Region: "here", Role: api.RoleServer, State: placement.Active, Address: "s1:1"},
		{ID: "e1", Region: "here", Role: api.RoleEdge, State: placement.Active, Address: "e1:1"},
	}, Groups: []placement.Group{{ID: "g1", Region: "here", Voters: []api.NodeID{"s1"}}}}
	x := newLive("s1", func() *placement.Map { return m }, func(_ context.Context, m *placement.Map) []*report {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked++
		all := make([]*report, len(m.Nodes))
		for i, o := range m.Nodes {
			if r := w.reports[o.ID]; r != nil {
				c := *r
				c.at = time.Now()
				all[i] = &c
			}
		}
		return all
	})
	t.Cleanup(x.close)
	return x
}

var errEnough = errors.New("enough")

// events returns the next n events.
func events(t *testing.T, x *live, n int) (all []*api.Live) {
	t.Helper()
	err := x.Live(t.Context(), func(l *api.Live) error {
		if all = append(all, l); len(all) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("the stream ends with %v", err)
	}
	return all
}

// TestLiveGathersOnce: a hundred streams cost what one costs, and none costs nothing.
func TestLiveGathersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &liveWorld{}
		x := w.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				seen := uint64(0)
				err := x.Live(ctx, func(l *api.Live) error {
					if l.Seq != seen+1 {
						t.Errorf("event %d comes after %d", l.Seq, seen)
					}
					seen = l.Seq
					return nil
				})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("the stream ends with %v", err)
				}
			})
		}
		time.Sleep(10*time.Second + time.Millisecond)
		cancel()
		wg.Wait()
		if n := w.count(); n != 11 {
			t.Errorf("the nodes were asked %d times in 10 s, not 11 times", n)
		}
		time.Sleep(10 * time.Second)
		if n := w.count(); n != 11 {
			t.Errorf("the nodes were asked %d times while there was no stream", n-11)
		}
	})
}

// TestLiveStreamsAreBounded: one over the limit is refused, and has a place once another has ended.
func TestLiveStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &liveWorld{}
		x := w.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range maxLiveStreams {
			wg.Go(func() { _ = x.Live(ctx, func(*api.Live) error { return nil }) })
		}
		synctest.Wait()
		if err := x.Live(ctx, func(*api.Live) error { return nil }); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("one stream more than %d ends with %v", maxLiveStreams, err)
		}
		cancel()
		wg.Wait()
		events(t, x, 2)
	})
}

// TestLiveRates: counts are those of the time between two reports of one process. A process that has started again has none at first.
func TestLiveRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &liveWorld{}
		x := w.open(t)
		lead := func(revoked uint64) []ledActivity {
			return []ledActivity{{ledGroup: ledGroup{Group: "g1", Term: 2}, Waiting: 3, Holders: []group.Holder{{Node: "e1", Revoked: revoked, Delayed: 1, Delay: time.Second, Owes: 1, Since: 5 * time.Second}}}}
		}
		w.set("s1", &report{Node: "s1", Activity: &activity{Started: 1, Led: lead(5)}})
		w.set("e1", &report{Node: "e1", Activity: &activity{Started: 1, Leased: 100, TimedLease: 1, TimedLeaseNs: 400, TimedStaleNs: 7, Owner: 10, Flows: []api.Flow{{Group: "g1", Reads: 10, Writes: 1, ReadUs: 5000, WriteUs: 7}}}})
		time.AfterFunc(500*time.Millisecond, func() {
			w.set("s1", &report{Node: "s1", Activity: &activity{Started: 1, Led: lead(7)}})
			w.set("e1", &report{Node: "e1", Activity: &activity{Started: 1, Leased: 150, TimedLease: 4, TimedLeaseNs: 1600, TimedStale: 1, TimedStaleNs: 10, Owner: 12, Flows: []api.Flow{{Group: "g1", Reads: 12, Writes: 4, ReadUs: 9000, WriteUs: 37}}}})
		})
		time.AfterFunc(1500*time.Millisecond, func() {
			w.set("e1", &report{Node: "e1", Activity: &activity{Started: 2, Leased: 200}})
		})
		all := events(t, x, 3)
		if e := all[0].Nodes[1]; e.OverMs != 0 || e.ReadsLease != 0 || e.AgeMs != 0 {
			t.Errorf("the first event has rates: %+v", e)
		}
		e := all[1].Nodes[1]
		if e.OverMs != 1000 || e.ReadsLease != 50 || e.ReadsOwner != 2 || len(e.Flows) != 1 || e.Flows[0] != (api.Flow{Group: "g1", Reads: 2, Writes: 3, ReadUs: 4000, WriteUs: 30}) {
			t.Errorf("the second event has %+v", e)
		}
		if e.TimedLease != 3 || e.TimedLeaseNs != 1200 || e.TimedStale != 1 || e.TimedStaleNs != 3 {
			t.Errorf("the timed reads of the second event are %+v", e)
		}
		if len(all[1].Groups) != 1 {
			t.Fatalf("the groups are %+v", all[1].Groups)
		}
		if h := all[1].Groups[0].Holders[0]; h.Revoked != 2 || h.RevokedTotal != 7 || h.Delayed != 0 || h.DelayTotalMs != 1000 || h.OwesMs != 5000 {
			t.Errorf("the holder has %+v", h)
		}
		if e := all[2].Nodes[1]; e.OverMs != 0 || e.ReadsLease != 0 {
			t.Errorf("counts of two processes are compared: %+v", e)
		}
		if text := alarmText(all[1]); !strings.Contains(text, "e1 keeps writes of g1 waiting") {
			t.Errorf("nothing says who delays writes: %s", text)
		}
	})
}

func alarmText(l *api.Live) string {
	var b strings.Builder
	for _, a := range l.Alarms {
		b.WriteString(a.Text + " " + a.Next + "\n")
	}
	return b.String()
}

// TestLiveDown: a node that stops is shown as down within 3 s, with the age of what is still known of it.
func TestLiveDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &liveWorld{}
		x := w.open(t)
		w.set("s1", &report{Node: "s1", Activity: &activity{Started: 1}})
		w.set("e1", &report{Node: "e1", Activity: &activity{Started: 1, Sessions: 4, Usable: 4}})
		const stopsAfter = 1500 * time.Millisecond
		stops := time.Now().Add(stopsAfter)
		time.AfterFunc(stopsAfter, func() { w.set("e1", nil) })
		err := x.Live(t.Context(), func(l *api.Live) error {
			e, stopped := l.Nodes[1], time.Now().After(stops)
			switch state := l.Status.Nodes[1].State; {
			case !stopped && state != "up":
				t.Errorf("the node is %s before it stops", state)
			case stopped && state == "unreachable":
				if e.AgeMs < time.Since(stops).Milliseconds() || e.Sessions != 4 || e.ReadsLease != 0 {
					t.Errorf("what is known of the node that is down: %+v", e)
				}
				if text := alarmText(l); !strings.Contains(text, "e1 has not answered for 1s") {
					t.Errorf("no alarm says that the node is down: %s", text)
				}
				return errEnough
			case stopped && time.Since(stops) > 3*time.Second-statusPatience:
				t.Errorf("the node is %s %v after it has stopped", state, time.Since(stops))
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Error(err)
		}
	})
}

// TestAlarms: each alarm says what is the matter and what to do next.
func TestAlarms(t *testing.T) {
	now := time.Now()
	l := &api.Live{UnixMs: now.UnixMilli(), Status: &api.Status{
		Troubles: []string{"s9 unheard for 40s, no spare server in here: add one"},
		Nodes:    []api.NodeStatus{{Node: "f1", Region: "far", State: "unreachable"}, {Node: "f2", Region: "far", State: "unreachable"}, {Node: "a", Region: "here", State: "unreachable"}, {Node: "b", State: "refused", Reason: "its pin is another"}, {Node: "c", State: "up"}, {Node: "d", State: "up"}},
		Groups: []api.GroupStatus{
			{Group: "g1"}, {Group: "g2", Leader: "c", Prepared: 1, OldestPreparedSeconds: 40},
			{Group: "g3", Leader: "c", Prepared: 1, Locked: []api.Lock{{Key: "k", Decider: "g1", Seconds: 12}}},
		},
	}, Nodes: []api.NodeLive{
		{Node: "f1"}, {Node: "f2"}, {Node: "a", AgeMs: -1}, {Node: "b"}, {Node: "c", CertificateEnds: now.Add(48 * time.Hour).Unix()}, {Node: "d", DiskFree: 10 << 30, DiskSize: 100 << 30},
	}, Groups: []api.GroupLive{{
		Group: "g2", Members: []api.MemberLive{{Node: "x", Voter: true, Heard: true}, {Node: "y", Voter: true, Heard: true}, {Node: "z", Voter: true}},
		Holders: []api.LeaseHolder{{Node: "e", Barred: true}},
	}}}
	l.Alarms = alarms(l)
	text := alarmText(l)
	for _, want := range []string{
		"s9 unheard", "None of the 2 nodes of far answers", "a does not answer, and has not since", "refuses b: its pin is another", "certificate of c ends on", "disk of d has 10 % free",
		"No leader of g1", "prepared in g2 for 40 s", "locked a key of g3 for 12 s: g1", "g2 has no voter to spare", "leases of e to expire",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no alarm says %q:\n%s", want, text)
		}
	}
	if len(l.Alarms) != 11 {
		t.Errorf("%d alarms:\n%s", len(l.Alarms), text)
	}
	for _, a := range l.Alarms {
		if a.Next == "" {
			t.Errorf("%q has no next step", a.Text)
		}
	}
}
