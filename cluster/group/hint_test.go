package group

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// deciders is a Groups whose decision groups have decided all attempts alike.
type deciders struct {
	mu      sync.Mutex
	outcome ident.TxnOutcome
	asked   []ident.TxnID
	pushed  int
}

func (d *deciders) Outcome(_ context.Context, ref ident.TxnRef, abort bool) (*fsm.Decision, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, ref.ID)
	if abort {
		d.pushed++
	}
	return &fsm.Decision{Txn: ref.ID, Outcome: d.outcome, Unresolved: []api.GroupID{"g.1"}}, nil
}

func (d *deciders) Resolve(context.Context, fsm.Resolve) error { return nil }

// TestResolveHint (Attack 9) shows that a hint that a transaction is over makes the group ask its decision group, and
// do what that says: a forged one resolves nothing. A hint about a transaction that is not prepared here asks no other
// group.
func TestResolveHint(t *testing.T) {
	d := &deciders{}
	bubble(t, func(c *Config) { c.Groups = d }, func(t *testing.T, l *testLog) {
		a := l.node("a")
		hint := func(seq uint64, outcome ident.TxnOutcome) {
			t.Helper()
			d.mu.Lock()
			d.outcome, d.asked = outcome, nil
			d.mu.Unlock()
			if err := a.authority.ResolveHint(t.Context(), "g.1", refOf(seq, 0).ID); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		prepared := func(seq uint64) bool {
			_, ok := a.machine.PreparedRef(refOf(seq, 0).ID)
			return ok
		}
		for seq, key := range map[uint64]api.Key{1: "k1", 2: "k2"} {
			if v := a.lock(seq, 1, key); v.Refused != nil {
				t.Fatal(v.Refused)
			}
		}
		hint(1, ident.TxnUndecided)
		if !prepared(1) || len(d.asked) != 1 || d.asked[0] != refOf(1, 0).ID || d.pushed != 0 {
			t.Errorf("before it is decided: prepared %v, asked %v, %d pushes", prepared(1), d.asked, d.pushed)
		}
		hint(1, ident.TxnAborted)
		hint(2, ident.TxnCommitted)
		if prepared(1) || prepared(2) || a.mustRead("k1").Exists || string(a.mustRead("k2").Value) != "new" {
			t.Errorf("k1 is %+v, k2 is %+v", a.mustRead("k1"), a.mustRead("k2"))
		}
		hint(3, ident.TxnCommitted)
		if len(d.asked) != 0 {
			t.Errorf("asked about %v, which is not prepared here", d.asked)
		}
		if err := a.authority.ResolveHint(t.Context(), "g.2", refOf(1, 0).ID); api.CodeOf(err) != api.CodeWrongGroup {
			t.Errorf("a hint for another group: %v", err)
		}
	})
}
