package group

import (
	"bytes"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// TestSuspectOverElections checks that elections once a second do not restart the wait for a dead holder. Each
// replica counts from when it applied the Suspect, after which no leader renews the holder.
func TestSuspectOverElections(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("dead")
		defer e.close()
		e.live()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = true })
		began := time.Now()
		done := false
		for i := 0; !done && i < 30; i++ {
			n := l.elect([]string{"a", "b", "c"}[i%3])
			_, _, err := n.write(1200*time.Millisecond, put("k", "new"))
			done = err == nil
		}
		within(t, "all attempts together", time.Since(began), grantorWait, grantorWait+2500*time.Millisecond)
		if x, ok := e.serves("k"); ok {
			t.Errorf("the edge still serves %q", x.Value)
		}
	})
}

// TestEveryLeaderRefusesSuspects checks that a leader does not renew a suspect session, even if it did not suspect
// the session itself.
func TestEveryLeaderRefusesSuspects(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = true })
		_, _, err := a.write(1500*time.Millisecond, put("k", "new"))
		wantCode(t, err, api.CodeUnavailable)
		e.keepAlive(a)
		b := l.elect("b")
		go func() { _, _, _ = b.write(time.Second, put("k", "new")) }()
		time.Sleep(time.Millisecond)
		if s, ok := e.keepAlive(b); !ok || s.Extended {
			t.Errorf("a SUSPECT session that owes an answer was answered %+v, %v", s, ok)
		}
	})
}

// TestSuspectStopsRenewalsBeforeTheLog checks that renewals stop before the Suspect is proposed, whether or not it
// ever applies.
func TestSuspectStopsRenewalsBeforeTheLog(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = true })
		a.set(func(h *hooks) {
			h.fail = func(c fsm.Command) error {
				if _, ok := c.(fsm.Suspect); ok {
					return api.Errorf(api.CodeUnavailable, "no")
				}
				return nil
			}
		})
		_, _, err := a.write(1500*time.Millisecond, put("k", "new"))
		wantCode(t, err, api.CodeUnavailable)
		if s, ok := e.keepAlive(a); !ok || s.Extended {
			t.Errorf("answered %+v, %v", s, ok)
		}
		if x, err := e.fetch(a, "other"); err != nil || x.Lease != 0 {
			t.Errorf("%+v, %v: a lease for a session that is not renewed", x, err)
		}
	})
}

// TestRestoreCountsAnew checks that a replica that has installed a snapshot knows no time of a Suspect.
func TestRestoreCountsAnew(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, b, e := l.node("a"), l.node("b"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.down = true })
		_, _, err := a.write(500*time.Millisecond, put("k", "new"))
		wantCode(t, err, api.CodeUnavailable)
		snap, err := a.adapter.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		var state bytes.Buffer
		if _, err := snap.WriteTo(&state); err != nil {
			t.Fatal(err)
		}
		snap.Close()
		time.Sleep(3 * time.Second)
		if err := b.adapter.Restore(&state); err != nil {
			t.Fatal(err)
		}
		l.elect("b")
		_, took := b.mustWrite(put("k", "new"))
		within(t, "the write at the restored replica", took, grantorWait, grantorWait+2*tick)
	})
}

// TestOldUnsuspect checks that an Unsuspect that applies while a newer Suspect is in flight allows no renewal, since
// other replicas may count from that Suspect already.
func TestOldUnsuspect(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = true })
		a.set(func(h *hooks) { h.before = only[fsm.Suspect](2 * time.Second) })
		_, _, err := a.write(1500*time.Millisecond, put("k", "new"))
		wantCode(t, err, api.CodeUnavailable)
		l.mu.Lock()
		l.appendLocked(fsm.Encode(fsm.Unsuspect{Term: api.Term(l.term), Session: e.sid}, fsm.NewestLevel))
		l.mu.Unlock()
		if s, ok := e.keepAlive(a); !ok || s.Extended {
			t.Errorf("answered %+v, %v while a Suspect was on its way", s, ok)
		}
	})
}

// TestUnsuspectWaitsForSuspect checks that the holder's answer does not get it renewed while a Suspect is in flight,
// but does so afterwards.
func TestUnsuspectWaitsForSuspect(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = true })
		a.set(func(h *hooks) { h.before = only[fsm.Suspect](2 * time.Second) })
		_, _, err := a.write(1500*time.Millisecond, put("k", "new"))
		wantCode(t, err, api.CodeUnavailable)
		e.set(func(e *testEdge) { e.mute = false })
		e.keepAlive(a) // delivers the revocation, which the edge answers
		time.Sleep(time.Millisecond)
		if s, ok := e.keepAlive(a); !ok || s.Extended || len(s.Pending) != 0 {
			t.Errorf("answered %+v, %v while a Suspect was on its way", s, ok)
		}
		time.Sleep(2 * time.Second)
		if s, ok := e.keepAlive(a); !ok || !s.Extended {
			t.Errorf("answered %+v, %v after it", s, ok)
		}
	})
}

// TestCutOffIsNoOffence checks that a holder from which no message came while its answer was late is no offender,
// since it could not answer. Its next session gets leases soon. A holder whose keep-alives arrived all the time could
// answer, and gets no leases for long.
func TestCutOffIsNoOffence(t *testing.T) {
	for _, alive := range []bool{false, true} {
		bubble(t, nil, func(t *testing.T, l *testLog) {
			a, e := l.node("a"), l.edge("e")
			defer e.close()
			e.lease(a, "k")
			e.set(func(e *testEdge) { e.mute = true }) // the revocation is sent, but not answered
			if alive {
				e.live()
			}
			a.mustWrite(put("k", "new"))
			a.authority.mu.Lock()
			probation := time.Until(a.authority.offenders[process{e.node, e.nonce}].until)
			a.authority.mu.Unlock()
			if long := probation > 10*time.Second; long != alive {
				t.Errorf("keep-alives came: %v; it is on probation for another %v", alive, probation)
			}
		})
	}
}

// TestSuspectWaitsForUnsuspect checks that while it is unknown whether an Unsuspect has applied, no new Suspect is
// proposed, so that the renewal that the Unsuspect allows comes before the Suspect.
func TestSuspectWaitsForUnsuspect(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k", "other")
		e.set(func(e *testEdge) { e.mute = true })
		_, _, err := a.write(1500*time.Millisecond, put("k", "new"))
		wantCode(t, err, api.CodeUnavailable)
		e.set(func(e *testEdge) { e.mute = false })
		e.keepAlive(a)
		time.Sleep(time.Millisecond)
		e.set(func(e *testEdge) { e.mute = true })
		a.set(func(h *hooks) {
			h.after = only[fsm.Unsuspect](2 * time.Second)
			h.before = only[fsm.Suspect](2 * time.Second)
		})
		answered := make(chan words.SessionStatus, 1)
		e.wg.Go(func() {
			s, _ := e.keepAlive(a)
			answered <- s
		})
		time.Sleep(time.Millisecond)
		e.wg.Go(func() { _, _, _ = a.write(10*time.Second, put("other", "new")) })
		time.Sleep(1900 * time.Millisecond)
		a.authority.mu.Lock()
		if a.authority.offenders[process{e.node, e.nonce}].offences != 1 {
			t.Error("suspected while an Unsuspect was on its way")
		}
		a.authority.mu.Unlock()
		if s := <-answered; !s.Extended {
			t.Errorf("answered %+v", s)
		}
		time.Sleep(100 * time.Millisecond)
		if s, ok := e.keepAlive(a); !ok || s.Extended {
			t.Errorf("answered %+v, %v with a Suspect on its way", s, ok)
		}
	})
}

// TestUnnotedUnsuspect checks that a renewal voids the count from a Suspect, even before the Unsuspect has been
// recorded.
func TestUnnotedUnsuspect(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		a.authority.mu.Lock()
		a.authority.suspected[e.sid] = a.clock.Now()
		a.authority.mu.Unlock()
		time.Sleep(3 * time.Second)
		e.keepAlive(a)
		e.set(func(e *testEdge) { e.down = true })
		_, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, grantorWait, grantorWait+2*tick)
	})
}

// TestRepeatedSuspect checks that a repeated Suspect does not restart the count.
func TestRepeatedSuspect(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.down = true })
		for range 4 {
			l.mu.Lock()
			l.appendLocked(fsm.Encode(fsm.Suspect{Term: api.Term(l.term), Session: e.sid}, fsm.NewestLevel))
			l.mu.Unlock()
			time.Sleep(time.Second)
		}
		b := l.elect("b")
		_, took := b.mustWrite(put("k", "new"))
		within(t, "the write", took, grantorWait-4*time.Second, grantorWait-4*time.Second+2*tick)
	})
}
