package group

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestStandingInAllOrders checks every order of seven events of a session. The session is renewed only if every
// Suspect that was proposed has been followed by an Unsuspect that has applied. It is never renewed after it has been
// judged expired. At most one of the two commands is in flight.
func TestStandingInAllOrders(t *testing.T) {
	type world struct {
		h         holder
		inFlight  event // the outcome of the proposal in flight; events if there is none
		suspected bool  // a Suspect may be in the log with no Unsuspect after it
		expired   bool
	}
	seen := [standings][events]bool{}
	var explore func(w world, path []event)
	explore = func(w world, path []event) {
		renewed := w.h.standing == good
		if renewed && (w.suspected || w.expired) {
			t.Fatalf("after %v it is renewed; suspected %v, expired %v", path, w.suspected, w.expired)
		}
		if w.expired != (w.h.standing == refused) {
			t.Fatalf("after %v it stands at %v; expired %v", path, w.h.standing, w.expired)
		}
		if len(path) == 7 {
			return
		}
		for e := range events {
			next := w
			switch e {
			case suspectEnded, unsuspectApplied, unsuspectFailed:
				if w.inFlight == events || (w.inFlight == suspectEnded) != (e == suspectEnded) {
					continue // the event cannot happen
				}
				next.inFlight = events
				if e == unsuspectApplied {
					next.suspected = false
				}
			case expires:
				next.expired = true
			}
			seen[w.h.standing][e] = true
			if begun := next.h.happens(e); begun && (next.h.standing == suspecting || next.h.standing == returning) {
				if next.inFlight != events {
					t.Fatalf("after %v and %v two proposals are on their way", path, e)
				}
				if next.inFlight = suspectEnded; next.h.standing == returning {
					next.inFlight = unsuspectApplied
				} else {
					next.suspected = true
				}
			}
			explore(next, append(slices.Clip(path), e))
		}
	}
	explore(world{inFlight: events}, nil)
	explore(world{inFlight: events, suspected: true, h: holder{standing: standingOf(true)}}, nil)
	for s := range standings {
		for _, e := range []event{silent, answers, expires} {
			if !seen[s][e] {
				t.Errorf("nothing led to event %d in standing %d", e, s)
			}
		}
	}
	// A suspected session is not refused for ever: a holder that answers is renewed again.
	h := holder{}
	for _, e := range []event{silent, suspectEnded, answers, unsuspectApplied} {
		h.happens(e)
	}
	if h.standing != good {
		t.Errorf("a holder that answers again stands at %v", h.standing)
	}
}

// TestSuspectReturnsUnderLoad checks a holder that was away for a moment and then answers every revocation in 100 ms.
// It is renewed again and keeps its session, although there is no instant at which it owes nothing.
func TestSuspectReturnsUnderLoad(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("busy")
		defer e.close()
		keys := make([]api.Key, 500)
		for i := range keys {
			keys[i] = api.Key(fmt.Sprint("k", i))
		}
		e.lease(a, keys...)
		e.set(func(e *testEdge) { e.latency = 50 * time.Millisecond })
		e.live()
		time.Sleep(3 * time.Second)
		e.set(func(e *testEdge) { e.down = true })
		written := make(chan time.Duration, len(keys))
		for i, k := range keys {
			go func() {
				_, took := a.mustWrite(put(k, "v"))
				written <- took
			}()
			if time.Sleep(20 * time.Millisecond); i == 3 {
				e.set(func(e *testEdge) { e.down = false })
			}
		}
		for range keys {
			if took := <-written; took > time.Second+200*time.Millisecond {
				t.Errorf("a write took %v", took)
			}
		}
		time.Sleep(2 * time.Second)
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.last.Dead || !e.last.Extended || e.sid.IsZero() {
			t.Errorf("the holder that has answered all the time got %+v", e.last)
		}
	})
}

// TestSuspectThatOwesStaysOut checks that a holder that answers for some keys, but never for one of them, is not
// renewed. The writer of that key waits for the holder's term, once.
func TestSuspectThatOwesStaysOut(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("forgetful")
		defer e.close()
		keys := make([]api.Key, 400)
		for i := range keys {
			keys[i] = api.Key(fmt.Sprint("k", i))
		}
		e.lease(a, keys...)
		e.live()
		e.set(func(e *testEdge) { e.forgets = keys[0] })
		written := make(chan time.Duration, 1)
		go func() {
			_, took := a.mustWrite(put(keys[0], "v"))
			written <- took
		}()
		for _, k := range keys[1:] {
			go a.mustWrite(put(k, "v"))
			time.Sleep(20 * time.Millisecond)
		}
		within(t, "the write", <-written, grantorWait-words.DefaultKeepAlive, grantorWait+time.Second+2*tick)
	})
}

// TestProbationOutlivesTheSession checks that a process that renews and never answers keeps a writer waiting once,
// not again with each session that it opens. Another process of the same node is not punished. After its probation
// the process gets leases again.
func TestProbationOutlivesTheSession(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("mute")
		defer e.close()
		e.live()
		e.set(func(e *testEdge) { e.mute = true })
		e.lease(a, "k")
		_, took := a.mustWrite(put("k", "v"))
		within(t, "the first write", took, grantorWait-words.DefaultKeepAlive, grantorWait+time.Second+2*tick)
		for range 3 {
			time.Sleep(2 * time.Second) // the edge has learnt that its session is dead
			e.open(a)
			if x, err := e.fetch(a, "k"); err != nil || x.Lease != 0 {
				t.Errorf("%+v, %v: a lease for a process on probation", x, err)
			}
			if _, took := a.mustWrite(put("k", "v")); took > 0 {
				t.Errorf("a later write took %v", took)
			}
		}
		other := l.edge("another")
		defer other.close()
		other.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = false })
		time.Sleep(2 * sessionOffence)
		e.lease(a, "l")
	})
}

// TestOffenders checks that each probation is twice as long as the one before it, that old offences are forgotten,
// and that the number of offenders is bounded.
func TestOffenders(t *testing.T) {
	var o offenders
	now := time.Unix(1_000_000, 0)
	nonce := func(n int) process {
		return process{"e", ident.Nonce{byte(n), byte(n >> 8)}}
	}
	for _, seconds := range []int{2, 4, 8, 16, 32, 64, 128, 128} {
		want := time.Duration(seconds) * time.Second
		o.offends(nonce(0), 2*time.Second, now)
		if !o.onProbation(nonce(0), now.Add(want-1)) || o.onProbation(nonce(0), now.Add(want)) {
			t.Errorf("the probation is not %v", want)
		}
		now = now.Add(want)
	}
	o.forget(now.Add(forgiveness - 1))
	if len(o) != 1 {
		t.Error("forgotten too early")
	}
	o.forget(now.Add(forgiveness))
	if len(o) != 0 {
		t.Error("not forgotten")
	}
	for n := range 2 * maxOffenders {
		o.offends(nonce(n), time.Second, now)
	}
	if len(o) != maxOffenders {
		t.Errorf("%d are remembered", len(o))
	}
	o.offends(nonce(2*maxOffenders), time.Second, now.Add(time.Minute)) // the others' probation is over
	if !o.onProbation(nonce(2*maxOffenders), now.Add(time.Minute)) {
		t.Error("no room for one more")
	}
}
