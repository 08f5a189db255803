package group

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// TestDeposedLeaderRenewsNothing checks that a deposed leader that does not know it, cut off from its voters but
// not from the holder, answers no keep-alive. So nothing stale is served once the new leader has waited until the
// holder has expired.
func TestDeposedLeaderRenewsNothing(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, b, e := l.node("a"), l.node("b"), l.edge("e")
		defer e.close()
		a.mustWrite(put("k", "old"))
		e.lease(a, "k")
		a.setCut(true)
		l.elect("b")
		// The holder reaches only the old leader, and the new one does not reach it.
		b.revoker.mu.Lock()
		clear(b.revoker.edges)
		b.revoker.mu.Unlock()
		e.wg.Go(func() {
			for range 12 {
				if s, ok := e.keepAlive(a); ok {
					t.Errorf("the deposed leader answered %+v", s)
				}
				_ = pause(e.ctx, 500*time.Millisecond)
			}
		})
		_, took := b.mustWrite(put("k", "new"))
		within(t, "the write", took, grantorWait, grantorWait+2*tick)
		if x, ok := e.serves("k"); ok {
			t.Errorf("the edge serves %q after the write of new was acknowledged", x.Value)
		}
	})
}

// TestDeposedLeaderAnswersNothing checks that a deposed leader answers no reads, lists or writes.
func TestDeposedLeaderAnswersNothing(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.mustWrite(put("k", "old"))
		a.setCut(true)
		l.elect("b").mustWrite(put("k", "new"))
		ctx := context.Background()
		_, err := words.Read(ctx, a.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}})
		wantCode(t, err, api.CodeNotLeader)
		_, err = a.authority.List(ctx, &words.ListRequest{})
		wantCode(t, err, api.CodeNotLeader)
		_, _, err = a.write(time.Minute, put("k", "x"))
		wantCode(t, err, api.CodeAmbiguous)
		a.setCut(false)
		_, err = words.Read(ctx, a.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}})
		wantCode(t, err, api.CodeNotLeader)
		if e := api.AsError(err); e.Leader != "b" {
			t.Errorf("the leader is said to be %q", e.Leader)
		}
	})
}

// TestSessionsSurviveFailover checks that a new leader revokes by message and renews the sessions of the old one.
func TestSessionsSurviveFailover(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.latency = 20 * time.Millisecond
		e.live()
		e.lease(a, "k", "other")
		b := l.elect("b")
		_, took := b.mustWrite(put("k", "new"))
		within(t, "the write", took, 40*time.Millisecond, 50*time.Millisecond)
		time.Sleep(10 * time.Second)
		if _, ok := e.serves("other"); !ok {
			t.Error("the session did not survive the change of leaders")
		}
	})
}

// TestNewLeaderWaitsFromItsTermStart checks that a new leader's wait counts from its TermStart, since it cannot know
// when the old leader last renewed.
func TestNewLeaderWaitsFromItsTermStart(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		time.Sleep(3 * time.Second)
		e.keepAlive(a)
		e.set(func(e *testEdge) { e.down = true })
		b := l.elect("b")
		_, took := b.mustWrite(put("k", "new"))
		within(t, "the write", took, grantorWait, grantorWait+2*tick)
	})
}

// TestTermFence checks that a judgement from an earlier term of the same node is refused in a later term.
func TestTermFence(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		time.Sleep(grantorWait)
		a.set(func(h *hooks) { h.before = only[fsm.Write](100 * time.Millisecond) })
		done := make(chan error, 1)
		go func() {
			_, _, err := a.write(time.Minute, put("k", "new"))
			done <- err
		}()
		time.Sleep(50 * time.Millisecond)
		l.elect("b")
		l.elect("a")
		e.keepAlive(a)
		wantCode(t, <-done, api.CodeNotLeader)
		if x, ok := e.serves("k"); !ok || x.Exists {
			t.Errorf("the renewed lease is gone: %+v, %v", x, ok)
		}
	})
}

// TestQueuesUntilTermStart checks that a node that is elected but whose TermStart has not applied makes requests
// wait, and that a node that is not elected names the leader.
func TestQueuesUntilTermStart(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		b := l.node("b")
		l.mu.Lock()
		l.term, l.leader = l.term+1, "b"
		for _, n := range l.nodes {
			n.believes, n.term = "b", l.term
		}
		l.mu.Unlock()
		go func() {
			time.Sleep(200 * time.Millisecond)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.appendLocked(b.authority.OnLeadership(l.term))
		}()
		_, took := b.mustWrite(put("k", "x"))
		within(t, "the write", took, 200*time.Millisecond, 210*time.Millisecond)
		_, _, err := l.node("a").write(time.Second, put("k", "y"))
		wantCode(t, err, api.CodeNotLeader)
	})
}

// TestSteppedDown checks that waiting writes end as not applied when the node no longer leads.
func TestSteppedDown(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = true })
		go func() {
			time.Sleep(500 * time.Millisecond)
			l.mu.Lock()
			defer l.mu.Unlock()
			a.believes = ""
		}()
		_, took, err := a.write(time.Minute, put("k", "new"))
		wantCode(t, err, api.CodeNotLeader)
		within(t, "the write", took, 500*time.Millisecond, 520*time.Millisecond)
	})
}

// TestAnnouncesItsLead checks that a leader announces its lead once a term.
func TestAnnouncesItsLead(t *testing.T) {
	leads := make(chan words.Leads, 10)
	bubble(t, func(c *Config) { c.OnLead = func(x words.Leads) { leads <- x } }, func(t *testing.T, l *testLog) {
		l.elect("b")
		l.settle()
		time.Sleep(5 * time.Second)
		if len(leads) != 2 {
			t.Fatalf("%d announcements, want 2", len(leads))
		}
		<-leads
		if x := <-leads; x != (words.Leads{Group: "g.1", Term: 2, Node: "b"}) {
			t.Errorf("announced %+v", x)
		}
	})
}

// TestSecondTermStart checks that a leader may propose a second TermStart in its term. What it has refused stays
// refused.
func TestSecondTermStart(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		time.Sleep(grantorWait)
		a.set(func(h *hooks) { h.before = only[fsm.Write](100 * time.Millisecond) })
		done := make(chan struct{}, 1)
		go func() {
			a.mustWrite(put("k", "new"))
			close(done)
		}()
		time.Sleep(50 * time.Millisecond)
		l.mu.Lock()
		l.appendLocked(a.authority.OnLeadership(l.term))
		l.mu.Unlock()
		if s, ok := e.keepAlive(a); !ok || s.Extended {
			t.Errorf("answered %+v, %v between judgement and commit", s, ok)
		}
		<-done
	})
}

// TestOpenedInThisTerm checks that a session opened long after the TermStart counts from its opening.
func TestOpenedInThisTerm(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		time.Sleep(time.Hour)
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.down = true })
		_, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, grantorWait, grantorWait+2*tick)
	})
}

// TestFounding checks that requests wait until the first leader has founded the group, even if that takes several
// tries.
func TestFounding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := newLog(t, func(c *Config) { c.Node = "a" }, "a")
		defer l.close()
		a := l.node("a")
		a.set(func(h *hooks) {
			h.fail = func(c fsm.Command) error {
				if _, ok := c.(fsm.Init); ok && time.Since(began) < 2500*time.Millisecond {
					return api.Errorf(api.CodeUnavailable, "no")
				}
				return nil
			}
		})
		_, took := a.mustWrite(put("k", "x"))
		within(t, "the write", took, 2500*time.Millisecond, 4*time.Second)
		if m := a.machine.Meta(); m.Group != "g.1" || m.Counter > 4 {
			t.Errorf("%+v", m)
		}
	})
}

// TestHigherTermEndsTheLead checks that a higher term ends the lead before any command of that term is applied,
// whichever node leads in it.
func TestHigherTermEndsTheLead(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		l.mu.Lock()
		l.term++
		l.appendLocked(fsm.Encode(fsm.Release{}, fsm.NewestLevel))
		l.mu.Unlock()
		a.authority.mu.Lock()
		defer a.authority.mu.Unlock()
		if a.authority.lead != nil {
			t.Error("the lead of a term that is over stands")
		}
	})
}

// TestUnnotedOpening checks that a session whose opening has applied but is not recorded yet counts from now, not
// from the TermStart.
func TestUnnotedOpening(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		time.Sleep(time.Hour)
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.down = true })
		a.authority.mu.Lock()
		delete(a.authority.lead.extended, e.sid)
		a.authority.mu.Unlock()
		_, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, grantorWait, grantorWait+2*tick)
	})
}
