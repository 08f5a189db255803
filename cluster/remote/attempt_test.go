package remote

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// deciding is a Participant that notes what reaches it.
type deciding struct{ reached []string }

func (d *deciding) note(what string) { d.reached = append(d.reached, what) }

func (d *deciding) Prepare(context.Context, *fsm.Prepare, []ident.DroppedLease, bool) (*fsm.Vote, error) {
	d.note("prepare")
	return &fsm.Vote{}, nil
}

func (d *deciding) CommitLast(context.Context, *fsm.CommitLast, []ident.DroppedLease) (*fsm.Vote, error) {
	d.note("commit last")
	return &fsm.Vote{}, nil
}

func (d *deciding) Decide(_ context.Context, c *fsm.Decide) (*fsm.Decision, error) {
	d.note("decide " + c.Outcome.String())
	return &fsm.Decision{}, nil
}

func (d *deciding) Outcome(_ context.Context, _ ident.TxnRef, abort bool) (*fsm.Decision, error) {
	d.note(map[bool]string{false: "outcome", true: "push"}[abort])
	return &fsm.Decision{}, nil
}

func (d *deciding) Resolve(_ context.Context, c fsm.Resolve) error {
	d.note("resolve " + c.Outcome.String())
	return nil
}

// TestAttemptsOfOthers (Attack 9): a node prepares its own attempts and decides to commit them alone; an edge that has seen the id of
// another's attempt can ask what became of it and have it aborted, and what it says has become of it is a hint. A server that passes
// a decision on is believed.
func TestAttemptsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g, d := newWorld(t), newGroup("g"), &deciding{}
		g.Participant = d
		s := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}})
		defer s.close()
		server := w.start("other", config{})
		defer server.close()
		edge := w.start("e", config{ServerConfig: peer.ServerConfig{Role: api.RoleEdge}})
		defer edge.close()
		for _, c := range []struct {
			name    string
			from    *station
			of      *station
			reached string // "" is denied
			call    func(ctx context.Context, n Node, id ident.TxnID) error
		}{
			{"its own prepare", edge, edge, "prepare", prepare},
			{"another's prepare", edge, s, "", prepare},
			{"a server's of another's prepare", server, s, "", prepare},
			{"its own last commit", edge, edge, "commit last", commitLast},
			{"another's last commit", edge, s, "", commitLast},
			{"its own commit", edge, edge, "decide committed", decide(ident.TxnCommitted)},
			{"another's commit", edge, s, "", decide(ident.TxnCommitted)},
			{"a server's of another's commit", server, edge, "", decide(ident.TxnCommitted)},
			{"an own commit from the node itself", s, s, "decide committed", decide(ident.TxnCommitted)},
			{"another's commit from the node itself", s, edge, "", decide(ident.TxnCommitted)},
			{"another's abort", edge, s, "decide aborted", decide(ident.TxnAborted)},
			{"another's outcome", edge, s, "outcome", outcomeOf(false)},
			{"a push", edge, s, "push", outcomeOf(true)},
			{"a commit passed on by an edge", edge, s, "hint", resolve(ident.TxnCommitted)},
			{"an abort passed on by an edge", edge, edge, "hint", resolve(ident.TxnAborted)},
			{"a commit passed on by a server", server, s, "resolve committed", resolve(ident.TxnCommitted)},
		} {
			d.reached, g.hinted = nil, nil
			id := c.of.attempt(7, "g")
			err := c.call(t.Context(), c.from.node("s"), id)
			if len(g.hinted) == 1 && g.hinted[0] == id {
				d.note("hint")
			}
			switch {
			case c.reached == "" && (api.CodeOf(err) != api.CodeDenied || len(d.reached) > 0):
				t.Errorf("%s: %v, reached %q", c.name, err, d.reached)
			case c.reached != "" && (err != nil || len(d.reached) != 1 || d.reached[0] != c.reached):
				t.Errorf("%s: %v, reached %q", c.name, err, d.reached)
			}
		}
		// An attempt from before the node had a number commits nothing, and its coordinator fetches the map and tries again.
		d.reached = nil
		old := ident.TxnID{Client: api.ClientID{1}, Seq: 7, Attempt: 1<<16 | 0xabcd, Decider: "g"}
		v, err := edge.node("s").Prepare(t.Context(), &fsm.Prepare{Group: "g", Txn: ident.TxnRef{ID: old}}, nil, false)
		if err != nil || v.Refused == nil || v.Refused.Code != api.CodeWrongGroup {
			t.Errorf("an attempt without a number: %+v, %v", v, err)
		}
		err = decide(ident.TxnCommitted)(t.Context(), edge.node("s"), old)
		if api.CodeOf(err) != api.CodeUnavailable || len(d.reached) != 0 {
			t.Errorf("a commit of an attempt without a number: %v, reached %q", err, d.reached)
		}
	})
}

func prepare(ctx context.Context, n Node, id ident.TxnID) error {
	_, err := n.Prepare(ctx, &fsm.Prepare{Group: "g", Txn: ident.TxnRef{ID: id}}, nil, false)
	return err
}

func commitLast(ctx context.Context, n Node, id ident.TxnID) error {
	_, err := n.CommitLast(ctx, &fsm.CommitLast{Txn: ident.TxnRef{ID: id}}, nil)
	return err
}

func decide(o ident.TxnOutcome) func(ctx context.Context, n Node, id ident.TxnID) error {
	return func(ctx context.Context, n Node, id ident.TxnID) error {
		_, err := n.Decide(ctx, &fsm.Decide{Txn: ident.TxnRef{ID: id}, Outcome: o})
		return err
	}
}

func outcomeOf(abort bool) func(ctx context.Context, n Node, id ident.TxnID) error {
	return func(ctx context.Context, n Node, id ident.TxnID) error {
		_, err := n.Outcome(ctx, ident.TxnRef{ID: id}, abort)
		return err
	}
}

func resolve(o ident.TxnOutcome) func(ctx context.Context, n Node, id ident.TxnID) error {
	return func(ctx context.Context, n Node, id ident.TxnID) error {
		return n.Resolve(ctx, fsm.Resolve{Group: "g", Txn: id, Outcome: o})
	}
}
