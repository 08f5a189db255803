package group

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestRevokedByAck checks that a live holder delays a write by its round trip, is named for it, and loses only the
// written key.
func TestRevokedByAck(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		near, far := l.edge("near"), l.edge("far")
		defer near.close()
		defer far.close()
		near.latency, far.latency = 10*time.Millisecond, 75*time.Millisecond
		near.lease(a, "k", "other")
		far.lease(a, "k")
		res, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, 150*time.Millisecond, 170*time.Millisecond)
		if len(res.Timing.Delayed) != 2 || res.Timing.Delayed[0].Node != "far" || res.Timing.Delayed[1].Node != "near" {
			t.Fatalf("delayed by %+v, want far, then near", res.Timing.Delayed)
		}
		within(t, "the revocation", res.Timing.Revoke, 150*time.Millisecond, 170*time.Millisecond)
		if _, ok := far.serves("k"); ok {
			t.Error("far still serves the key")
		}
		if _, ok := near.serves("other"); !ok {
			t.Error("near lost a lease that was not revoked")
		}
		if n := len(a.machine.Holders([]api.Key{"k", "other"})); n != 1 {
			t.Errorf("%d leases in the machine, want 1", n)
		}
	})
}

// TestRevocationsAreBatched checks that the leases of one holder are revoked in one message.
func TestRevocationsAreBatched(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		txn := &words.Txn{}
		for i := range 50 {
			k := api.Key(rune('A' + i))
			e.lease(a, k)
			txn.Then = append(txn.Then, api.Op{Kind: api.OpPut, Key: k, Value: []byte("x")})
		}
		a.mustWrite(txn)
		if n := a.revoker.messages(); n != 1 {
			t.Errorf("%d messages, want 1", n)
		}
	})
}

// TestSelfDrop checks that the writer's own lease costs it nothing.
func TestSelfDrop(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.down = true })
		txn := put("k", "mine")
		txn.Dropped = []ident.DroppedLease{{Group: "g.1", Session: e.sid, Key: "k", Lease: e.cache["k"].Lease}}
		_, took := a.mustWriteOf(e.ctx, txn)
		within(t, "the write", took, 0, time.Millisecond)
		if a.revoker.messages() != 0 {
			t.Error("a lease that was dropped already was revoked")
		}
		if len(a.machine.Holders([]api.Key{"k"})) != 0 {
			t.Error("the lease stands in the machine still")
		}
	})
}

// TestSelfDropOfAnotherGroup checks that leases that the gateway gave up are matched by group, since the sessions of
// two groups may have the same ids. Giving up a lease of the previous owner says nothing about the lease of this
// group, which another holder has.
func TestSelfDropOfAnotherGroup(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		txn := put("k", "mine")
		txn.Dropped = []ident.DroppedLease{{Group: "h.1", Session: e.sid, Key: "k", Lease: e.cache["k"].Lease}}
		a.mustWriteOf(e.ctx, txn)
		if x, ok := e.serves("k"); ok {
			t.Errorf("the holder still serves %q", x.Value)
		}
	})
}

// TestSelfDropOfAnEarlierLease checks that naming an older lease than the live one clears nothing.
func TestSelfDropOfAnEarlierLease(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		txn := put("k", "mine")
		txn.Dropped = []ident.DroppedLease{{Group: "g.1", Session: e.sid, Key: "k", Lease: e.cache["k"].Lease - 1}}
		a.mustWriteOf(e.ctx, txn)
		if a.revoker.messages() != 1 {
			t.Error("the live lease was not revoked")
		}
	})
}

// TestRetryLeases checks that a grant that was in flight when the write read the holders makes the machine
// refuse, and that the write then has that lease revoked too. Nothing stale is served when the write returns.
func TestRetryLeases(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e, early := l.node("a"), l.edge("e"), l.edge("early")
		defer e.close()
		defer early.close()
		a.mustWrite(put("k", "old"))
		early.lease(a, "k") // what this edge gives back counts in the second round too
		a.set(func(h *hooks) {
			h.before = func(c fsm.Command) time.Duration {
				switch c.(type) {
				case fsm.Grant:
					return 10 * time.Millisecond
				case fsm.Write:
					return 20 * time.Millisecond
				}
				return 0
			}
		})
		e.wg.Go(func() { e.lease(a, "k") })
		time.Sleep(time.Millisecond)
		res, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, 40*time.Millisecond, 50*time.Millisecond)
		if a.revoker.messages() != 2 || len(res.Timing.Delayed) != 2 {
			t.Errorf("%d revocations, delayed by %+v: want two", a.revoker.messages(), res.Timing.Delayed)
		}
		if x, ok := e.serves("k"); ok && string(x.Value) != "new" {
			t.Errorf("stale: %q", x.Value)
		}
	})
}

// TestLatch checks that while a write is under way, reads get answers but no leases.
func TestLatch(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		a.set(func(h *hooks) { h.before = only[fsm.Write](50 * time.Millisecond) })
		e.wg.Go(func() { a.mustWrite(put("k", "new")) })
		time.Sleep(time.Millisecond)
		x, err := e.fetch(a, "k")
		if err != nil || x.Lease != 0 || x.Exists {
			t.Fatalf("%+v, %v: want the old state and no lease", x, err)
		}
		time.Sleep(60 * time.Millisecond)
		e.lease(a, "k")
	})
}

// TestGrantAtApply checks that a grant returns what the key holds at the grant's place in the log.
func TestGrantAtApply(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		a.mustWrite(put("k", "old"))
		a.set(func(h *hooks) { h.before = only[fsm.Grant](10 * time.Millisecond) })
		e.wg.Go(func() { e.lease(a, "k") })
		time.Sleep(time.Millisecond)
		a.mustWrite(put("k", "new")) // the grant is not in the log yet
		time.Sleep(20 * time.Millisecond)
		x, ok := e.serves("k")
		if !ok || string(x.Value) != "new" {
			t.Fatalf("the edge serves %q, %v: want new", x.Value, ok)
		}
	})
}

// TestContextEndsTheWait checks that a write whose caller gives up is certainly not applied, and that its error names
// the holder that was waited for. The revocations that it began continue, so the next write waits only for the rest.
func TestContextEndsTheWait(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("silent")
		defer e.close()
		e.live()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = true })
		began := time.Now()
		for _, patience := range []time.Duration{2 * time.Second, 2 * time.Second} {
			_, took, err := a.write(patience, put("k", "lost"))
			wantCode(t, err, api.CodeUnavailable)
			within(t, "the write", took, patience, patience+time.Millisecond)
			if x := a.mustRead("k"); x.Exists {
				t.Fatal("a write that was not applied was applied")
			}
		}
		a.mustWrite(put("k", "kept"))
		within(t, "all writes together", time.Since(began), 4*time.Second, grantorWait+time.Second+50*time.Millisecond)
	})
}

// TestOverload checks that waiting writes are bounded, and that a write over the bound is refused at once, with a
// Retry-After.
func TestOverload(t *testing.T) {
	bubble(t, func(c *Config) { c.MaxWaiting = 2 }, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = true })
		for range 2 {
			e.wg.Go(func() { _, _, _ = a.write(time.Second, put("k", "x")) })
		}
		time.Sleep(time.Millisecond)
		_, took, err := a.write(time.Minute, put("k", "y"))
		wantCode(t, err, api.CodeUnavailable)
		if took > time.Millisecond || api.AsError(err).RetryAfter == 0 {
			t.Errorf("refused after %v: %v", took, err)
		}
		a.mustWrite(put("free", "z"))
		e.close()
		if n := a.authority.lead.waiting; n != 0 {
			t.Errorf("%d writes are still counted as waiting", n)
		}
	})
}

// TestWaitersOfOneHolder checks that the writes that wait for one holder are bounded. A write over the bound is
// refused at once, and only its own key is affected. A write that waits for another holder is not counted.
func TestWaitersOfOneHolder(t *testing.T) {
	bubble(t, func(c *Config) { c.MaxPerHolder = 2 }, func(t *testing.T, l *testLog) {
		a, dead, slow := l.node("a"), l.edge("e"), l.edge("f")
		dead.lease(a, "k", "l", "m")
		slow.lease(a, "n")
		dead.set(func(e *testEdge) { e.mute = true })
		slow.set(func(e *testEdge) { e.latency = 10 * time.Millisecond })
		for _, k := range []api.Key{"k", "l"} {
			dead.wg.Go(func() { _, _, _ = a.write(time.Second, put(k, "x")) })
		}
		time.Sleep(time.Millisecond)
		_, took, err := a.write(time.Minute, put("m", "y"))
		wantCode(t, err, words.Crowded)
		if e := api.AsError(err); took > time.Millisecond || e.RetryAfter == 0 || e.Key != "m" {
			t.Errorf("refused after %v: %v", took, err)
		}
		a.mustWrite(put("n", "z"))
		a.mustWrite(put("free", "z"))
		dead.close()
		slow.close()
		for _, h := range a.authority.lead.holders {
			if h.waiting != 0 {
				t.Errorf("%d writes are still counted as waiting for %s", h.waiting, h.node)
			}
		}
	})
}

// TestAmbiguous checks that an unknown outcome is reported as ambiguous, and a known one never is.
func TestAmbiguous(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.set(func(h *hooks) { h.after = only[fsm.Write](time.Minute) })
		_, _, err := a.write(time.Second, put("k", "x"))
		wantCode(t, err, api.CodeAmbiguous)
		a.set(func(h *hooks) { h.after = nil })
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err = a.authority.Do(ctx, put("k", "y"))
		wantCode(t, err, api.CodeUnavailable)
		if x := a.mustRead("k"); string(x.Value) != "x" {
			t.Errorf("the key holds %q", x.Value)
		}
	})
}

// TestReplay checks that a repeated request gets its stored result, before leases and conditions are checked.
func TestReplay(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		txn := put("k", "x")
		txn.ID = api.RequestID{Client: api.ClientID{1}, Seq: 1}
		first, _ := a.mustWrite(txn)
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.down = true })
		again, took := a.mustWrite(txn)
		if !again.Replayed || again.Version != first.Version || took > time.Millisecond {
			t.Errorf("%+v after %v, want the first result %+v", again, took, first)
		}
	})
}

// TestClose checks that Close ends the waits and all goroutines (the bubble waits for the goroutines).
func TestClose(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.down = true })
		done := make(chan error, 1)
		go func() {
			_, err := a.authority.Do(context.Background(), put("k", "x"))
			done <- err
		}()
		synctest.Wait()
		a.authority.Close()
		wantCode(t, <-done, api.CodeUnavailable)
		_, err := words.Read(context.Background(), a.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}})
		wantCode(t, err, api.CodeUnavailable)
	})
}

// TestSharedRevocation checks that concurrent writes of one key share one revocation.
func TestSharedRevocation(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		e.set(func(e *testEdge) { e.latency = 20 * time.Millisecond })
		e.lease(a, "k")
		began := time.Now()
		for range 10 {
			e.wg.Go(func() { a.mustWrite(put("k", "x")) })
		}
		e.wg.Wait()
		within(t, "ten writes", time.Since(began), 40*time.Millisecond, 50*time.Millisecond)
		if n := a.revoker.messages(); n != 1 {
			t.Errorf("%d messages, want 1", n)
		}
		e.close()
	})
}
