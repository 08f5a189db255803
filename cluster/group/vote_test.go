package group

import (
	"context"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestVoteOfAnotherTerm checks that a ballot that enters the log in another term than it was judged in is no vote.
// The node that leads then has a vote, and is asked for it.
func TestVoteOfAnotherTerm(t *testing.T) {
	for name, ask := range map[string]func(ctx context.Context, r *Authority) (*fsm.Vote, error){
		"prepare": func(ctx context.Context, r *Authority) (*fsm.Vote, error) {
			return r.Prepare(ctx, &fsm.Prepare{Group: "g.1", Txn: refOf(1, 1), Then: put("k", "v").Then}, nil, false)
		},
		"commit last": func(ctx context.Context, r *Authority) (*fsm.Vote, error) {
			return r.CommitLast(ctx, &fsm.CommitLast{Txn: decidedHere(1), Then: put("k", "v").Then, Participants: []api.GroupID{"g.2"},
				Outcomes: make([]fsm.Outcome, 1), Places: []uint32{0}}, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, l *testLog) {
				a := l.node("a")
				a.set(func(h *hooks) {
					h.before = func(c fsm.Command) time.Duration {
						return only[fsm.Prepare](100*time.Millisecond)(c) + only[fsm.CommitLast](100*time.Millisecond)(c)
					}
				})
				done := make(chan error, 1)
				go func() {
					v, err := ask(within10(t), a.authority)
					if err == nil {
						t.Errorf("a vote: %+v", v)
					}
					done <- err
				}()
				time.Sleep(50 * time.Millisecond)
				l.elect("b")
				l.elect("a")
				wantCode(t, <-done, api.CodeNotLeader)
				a.set(func(h *hooks) { h.before = nil })
				if v, err := ask(within10(t), a.authority); err != nil || v.Refused != nil {
					t.Errorf("asked again: %+v, %v", v, err)
				}
			})
		})
	}
}

// TestOutcomeOfTheForgotten checks that the outcome of an attempt of which the decision group remembers nothing any
// more is aborted, at once and for every caller. If it were undecided, the attempt's locks would stay until it is
// pushed.
func TestOutcomeOfTheForgotten(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		ref := decidedHere(1)
		d, err := a.authority.Outcome(within10(t), ref, false)
		if err != nil || d.Outcome != ident.TxnUndecided {
			t.Errorf("before it is acknowledged: %+v, %v", d, err)
		}
		if _, err := a.authority.propose(within10(t), fsm.Forget{Client: ref.ID.Client, Below: ref.ID.Seq + 1}); err != nil {
			t.Fatal(err)
		}
		d, err = a.authority.Outcome(within10(t), ref, false)
		if err != nil || d.Outcome != ident.TxnAborted || !d.Expired || d.At("g.2") != ident.TxnAborted {
			t.Errorf("afterwards: %+v, %v", d, err)
		}
		d, err = a.authority.Decide(within10(t), &fsm.Decide{Txn: ref, Outcome: ident.TxnCommitted, Participants: []api.GroupID{"g.2"}})
		if err != nil || d.Outcome == ident.TxnCommitted {
			t.Errorf("a late commit: %+v, %v", d, err)
		}
	})
}

// decidedHere returns an attempt whose decision group is g.1.
func decidedHere(seq uint64) ident.TxnRef {
	ref := refOf(seq, 1)
	ref.ID.Decider = "g.1"
	return ref
}
