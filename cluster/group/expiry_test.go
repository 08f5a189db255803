package group

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// TestDeadHolder checks that a dead holder delays a write by at most W from its last keep-alive, and only once. The
// session is killed as a whole, and its holder learns that it is dead.
func TestDeadHolder(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("dead")
		defer e.close()
		e.lease(a, "k", "other")
		time.Sleep(time.Second)
		e.keepAlive(a)
		time.Sleep(time.Second)
		e.set(func(e *testEdge) { e.down = true })
		res, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, grantorWait-time.Second, grantorWait-time.Second+2*tick)
		if d := res.Timing.Delayed; len(d) != 1 || d[0].Node != "dead" || d[0].Wait < grantorWait-time.Second {
			t.Errorf("delayed by %+v", d)
		}
		if n := len(a.machine.Holders([]api.Key{"other"})); n != 0 {
			t.Error("the session was not killed whole")
		}
		_, took = a.mustWrite(put("other", "new"))
		within(t, "the second write", took, 0, time.Millisecond)
		e.set(func(e *testEdge) { e.down = false })
		if s, ok := e.keepAlive(a); !ok || !s.Dead || s.Extended {
			t.Errorf("a killed session was answered %+v, %v", s, ok)
		}
		a.authority.mu.Lock()
		defer a.authority.mu.Unlock()
		if r := a.authority; len(r.suspected)+len(r.lead.holders)+len(r.lead.owing)+len(r.lead.extended)+len(r.lead.latches) != 0 {
			t.Errorf("something of the dead session is kept: %+v", r.lead)
		}
	})
}

// TestUnreachableHolder checks that a holder to which no revocation can be sent is suspected at once.
func TestUnreachableHolder(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.down = true })
		_, _, err := a.write(100*time.Millisecond, put("k", "new"))
		wantCode(t, err, api.CodeUnavailable)
		if s, ok := l.node("c").machine.Session(e.sid); !ok || !s.Suspect {
			t.Errorf("session %+v, %v: want it suspect", s, ok)
		}
	})
}

// TestJudgedInVain checks that the sweeper ends a session that was judged expired for a write that then failed. The
// session can never be renewed in this term, and its holder must learn that.
func TestJudgedInVain(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		time.Sleep(grantorWait)
		a.set(func(h *hooks) {
			h.fail = func(c fsm.Command) error {
				if _, ok := c.(fsm.Write); ok {
					return api.Errorf(api.CodeUnavailable, "no")
				}
				return nil
			}
		})
		_, _, err := a.write(time.Second, put("k", "new"))
		wantCode(t, err, api.CodeUnavailable)
		if s, ok := e.keepAlive(a); !ok || s.Extended || s.Dead {
			t.Errorf("answered %+v, %v: want neither", s, ok)
		}
		time.Sleep(2*sweepEvery + time.Second)
		if s, ok := e.keepAlive(a); !ok || !s.Dead {
			t.Errorf("answered %+v, %v: want it dead", s, ok)
		}
	})
}

// TestUnansweringHolder checks that a holder that renews but leaves a revocation unanswered is no longer
// renewed after 1 s, so that the write is decided within W + 1 s. The revocation comes with its keep-alives.
func TestUnansweringHolder(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("mute")
		defer e.close()
		e.live()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = true })
		done := make(chan time.Duration, 1)
		go func() {
			_, took := a.mustWrite(put("k", "new"))
			done <- took
		}()
		time.Sleep(2500 * time.Millisecond)
		e.set(func(e *testEdge) {
			if e.last.Extended || e.last.Dead || len(e.last.Pending) != 1 || e.last.Pending[0].Key != "k" {
				t.Errorf("answered %+v, want neither, and the revocation", e.last)
			}
		})
		within(t, "the write", <-done, grantorWait, grantorWait+time.Second+50*time.Millisecond)
	})
}

// TestLateHolder checks that a lost revocation comes again with the keep-alive, and that the holder is renewed again
// once it has answered.
func TestLateHolder(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("late")
		defer e.close()
		e.live()
		e.lease(a, "k", "other")
		e.set(func(e *testEdge) { e.mute = true })
		e.wg.Go(func() {
			time.Sleep(2 * time.Second)
			e.set(func(e *testEdge) { e.mute = false })
		})
		_, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, 2*time.Second, 3*time.Second+50*time.Millisecond)
		time.Sleep(2100 * time.Millisecond)
		s, _ := a.machine.Session(e.sid)
		e.set(func(e *testEdge) {
			if !e.last.Extended || s.Suspect {
				t.Errorf("last answer %+v, suspect %v: want it renewed again", e.last, s.Suspect)
			}
		})
		time.Sleep(10 * time.Second)
		if _, ok := e.serves("other"); !ok {
			t.Error("a lease that was never asked back is gone")
		}
	})
}

// TestRefusedBetweenJudgementAndCommit checks that from the judgement on no keep-alive is answered, although
// nothing is in the log yet.
func TestRefusedBetweenJudgementAndCommit(t *testing.T) {
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
		if s, ok := e.keepAlive(a); !ok || s.Extended {
			t.Errorf("answered %+v, %v between judgement and commit", s, ok)
		}
		<-done
		if s, ok := e.keepAlive(a); !ok || !s.Dead {
			t.Errorf("answered %+v, %v after the commit", s, ok)
		}
	})
}

// TestRefusedWhileConfirming checks that no answer is sent if the judgement comes while the keep-alive is being
// confirmed.
func TestRefusedWhileConfirming(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		a.set(func(h *hooks) { h.confirm = func() time.Duration { return 500 * time.Millisecond } })
		time.Sleep(grantorWait - 100*time.Millisecond)
		answered := make(chan words.SessionStatus, 1)
		go func() {
			s, _ := e.keepAlive(a)
			answered <- s
		}()
		e.set(func(e *testEdge) { e.mute = true })
		_, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, 100*time.Millisecond, 120*time.Millisecond)
		if s := <-answered; s.Extended {
			t.Errorf("answered %+v after the judgement", s)
		}
	})
}

// TestExtensionCountsFromReceipt checks that an extension counts from the receipt of the keep-alive, not from
// the end of a slow confirm.
func TestExtensionCountsFromReceipt(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		time.Sleep(time.Second)
		a.set(func(h *hooks) { h.confirm = func() time.Duration { return time.Second } })
		if s, ok := e.keepAlive(a); !ok || !s.Extended {
			t.Fatalf("answered %+v, %v", s, ok)
		}
		a.set(func(h *hooks) { h.confirm = nil })
		e.set(func(e *testEdge) { e.down = true })
		_, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, grantorWait-time.Second, grantorWait-time.Second+2*tick)
	})
}

// TestExtensionsOvertakeEachOther checks that an older keep-alive that is confirmed later shortens nothing.
func TestExtensionsOvertakeEachOther(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		a.set(func(h *hooks) { h.confirm = func() time.Duration { return 2 * time.Second } })
		e.wg.Go(func() { e.keepAlive(a) })
		time.Sleep(time.Second)
		a.set(func(h *hooks) { h.confirm = nil })
		e.keepAlive(a)
		time.Sleep(1500 * time.Millisecond)
		e.set(func(e *testEdge) { e.down = true })
		_, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, grantorWait-1500*time.Millisecond, grantorWait-1500*time.Millisecond+2*tick)
	})
}

// TestClocks checks that at the instant of the write no holder serves the old value. It uses the slowest holder's
// clock and the fastest grantor's clock that the assumption allows, and a suspend on either side.
func TestClocks(t *testing.T) {
	for name, bend := range map[string]func(holder, grantor *testClock){
		"drift":             func(h, g *testClock) { h.setRate(1 - words.ClockRateError); g.setRate(1 + words.ClockRateError) },
		"grantor suspended": func(_, g *testClock) { g.jump(time.Hour, 0) },
		"grantor slewed":    func(_, g *testClock) { g.jump(0, time.Hour) },
		"holder suspended":  func(h, _ *testClock) { h.jump(time.Hour, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, l *testLog) {
				a, e := l.node("a"), l.edge("e")
				defer e.close()
				e.lease(a, "k")
				e.keepAlive(a)
				e.set(func(e *testEdge) { e.down = true })
				bend(e.clock, a.clock)
				_, took := a.mustWrite(put("k", "new"))
				if x, ok := e.serves("k"); ok {
					t.Errorf("after %v the holder serves %q", took, x.Value)
				}
			})
		})
	}
}

// TestGrantorClockStops checks that nothing is judged by a clock that stands still. The write waits as long as its
// caller.
func TestGrantorClockStops(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.down = true })
		a.clock.setRate(0)
		_, _, err := a.write(time.Minute, put("k", "new"))
		wantCode(t, err, api.CodeUnavailable)
		a.clock.setRate(1)
		a.mustWrite(put("k", "new"))
	})
}

// TestClockRateOff checks that a holder whose clock runs at a wrong rate gets no leases and no renewals while it
// does.
func TestClockRateOff(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("slow")
		defer e.close()
		e.clock.setRate(0.9)
		e.live()
		time.Sleep(45 * time.Second)
		if x, err := e.fetch(a, "k"); err != nil || x.Lease != 0 {
			t.Errorf("%+v, %v: a lease for a holder with a wrong clock", x, err)
		}
		e.set(func(e *testEdge) {
			if e.last.Extended {
				t.Error("a holder with a wrong clock was renewed")
			}
		})
	})
}
