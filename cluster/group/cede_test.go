package group

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// TestCede checks that ceding an empty range revokes its leases and gives the range up, and that a repeated call
// returns the same receipt.
func TestCede(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, near, dead := l.node("a"), l.edge("near"), l.edge("dead")
		defer near.close()
		defer dead.close()
		near.latency = 20 * time.Millisecond
		near.lease(a, "p/absent", "q/other")
		dead.lease(a, "p/absent")
		dead.set(func(e *testEdge) { e.down = true })
		a.mustWrite(put("q/other", "stays"))
		ctx, rng := context.Background(), api.PrefixRange("p/")
		began := time.Now()
		receipt, err := a.authority.Cede(ctx, rng, 2, []api.GroupID{"h.1"})
		if err != nil || receipt == nil {
			t.Fatal(receipt, err)
		}
		within(t, "the cede", time.Since(began), grantorWait-time.Second, grantorWait+2*tick)
		if n := len(a.machine.HoldersIn(rng, 10)); n != 0 {
			t.Errorf("%d leases are left in the range", n)
		}
		_, err = words.Read(ctx, a.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"p/absent"}}})
		wantCode(t, err, api.CodeWrongGroup)
		if x := a.mustRead("q/other"); string(x.Value) != "stays" {
			t.Errorf("a key outside of the range is %+v", x)
		}
		if _, err := a.authority.Cede(ctx, rng, 2, []api.GroupID{"h.1"}); err != nil {
			t.Errorf("asked again: %v", err)
		}
	})
}

// TestCedeOfAFullRange checks that ceding a range with keys is refused and leaves the leases alone.
func TestCedeOfAFullRange(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		a.mustWrite(put("p/k", "x"))
		e.lease(a, "p/k")
		_, err := a.authority.Cede(context.Background(), api.PrefixRange("p/"), 2, []api.GroupID{"h.1"})
		wantCode(t, err, api.CodeConflict)
		if a.revoker.messages() != 0 {
			t.Error("a cede that was bound to fail revoked leases")
		}
		e.lease(a, "p/other") // nothing stays frozen
	})
}

// TestCedeOfManyLeases checks that many leases are revoked in batches.
func TestCedeOfManyLeases(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e, dead := l.node("a"), l.edge("e"), l.edge("dead")
		defer e.close()
		defer dead.close()
		for i := range 3 * cedeBatch / 2 {
			e.lease(a, api.Key(fmt.Sprintf("p/%d", i)))
		}
		dead.lease(a, "p/0")
		dead.set(func(e *testEdge) { e.down = true })
		if _, err := a.authority.Cede(context.Background(), api.PrefixRange("p/"), 2, []api.GroupID{"h.1"}); err != nil {
			t.Fatal(err)
		}
		if n := a.machine.Meta().Leases; n != 0 {
			t.Errorf("%d leases are left", n)
		}
	})
}

// TestCedeFreezesGrants checks that while a range is being ceded, reads in it get answers but no leases.
func TestCedeFreezesGrants(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e, dead := l.node("a"), l.edge("e"), l.edge("dead")
		defer e.close()
		defer dead.close()
		dead.lease(a, "p/k")
		dead.set(func(e *testEdge) { e.down = true })
		e.wg.Go(func() {
			if _, err := a.authority.Cede(context.Background(), api.PrefixRange("p/"), 2, []api.GroupID{"h.1"}); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		if x, err := e.fetch(a, "p/k"); err != nil || x.Lease != 0 {
			t.Errorf("%+v, %v: want an answer without a lease", x, err)
		}
		e.lease(a, "q")
	})
}

// TestAdopt checks that the group to which a range was ceded serves it once it has the receipt, and not before.
func TestAdopt(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		init := fsm.Init{Group: "h.1", Incarnation: 1, MaxTerm: words.MaxLeaseTerm, MaxPause: words.MaxPause}
		other := newLog(t, func(c *Config) { c.Group, c.Init = "h.1", &init }, "x")
		defer other.close()
		ctx, rng, x := context.Background(), api.PrefixRange("p/"), other.node("x")
		_, _, err := x.write(time.Second, put("p/k", "v"))
		wantCode(t, err, api.CodeWrongGroup)
		receipt, err := l.node("a").authority.Cede(ctx, rng, 2, []api.GroupID{"h.1"})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := x.authority.Adopt(ctx, receipt, fsm.Shard{Range: rng, Epoch: 2, Of: 1}); err != nil {
				t.Fatal(err)
			}
		}
		x.mustWrite(put("p/k", "v"))
		if e := x.mustRead("p/k"); string(e.Value) != "v" || e.Version.Epoch != 2 {
			t.Errorf("%+v", e)
		}
	})
}

// TestAmbiguousDropIsNotAnAmbiguousWrite checks that a write is not ambiguous if only the step before it was, since
// the write itself was never proposed.
func TestAmbiguousDropIsNotAnAmbiguousWrite(t *testing.T) {
	wantCode(t, notWritten(api.Errorf(api.CodeAmbiguous, "unknown")), api.CodeUnavailable)
	wantCode(t, notWritten(notLeader("b")), api.CodeNotLeader)
	if notWritten(nil) != nil {
		t.Error("success is an error")
	}
}
