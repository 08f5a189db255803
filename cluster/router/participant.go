package router

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

var _ remote.Participant = (*Router)(nil)

// Prepare has the group that p names vote, at its leader, on whichever node that is. A repeated Prepare gets the same
// vote. A vote of no after an attempt of unknown outcome is [fsm.Vote].Unsure: that attempt may still be on its way,
// and lock.
func (r *Router) Prepare(ctx context.Context, p *fsm.Prepare, dropped []ident.DroppedLease, free bool) (*fsm.Vote, error) {
	unknown := false
	v, err := toLeader(ctx, r, "prepare", p.Group, func(ctx context.Context, t Target) (*fsm.Vote, error) {
		v, err := t.Prepare(ctx, p, dropped, free)
		unknown = unknown || judge(err) == unsure
		return v, err
	})
	if err == nil && v.Refused != nil && unknown {
		no := *v
		no.Unsure = true
		v = &no
	}
	return v, err
}

// CommitLast has the decision group vote and commit. It goes to no other group. A vote of no after an attempt of
// unknown outcome becomes CodeAmbiguous, unless the vote says that the attempt was aborted: that attempt may still be
// on its way, and commit.
func (r *Router) CommitLast(ctx context.Context, c *fsm.CommitLast, dropped []ident.DroppedLease) (*fsm.Vote, error) {
	unknown := false
	v, err := toLeader(ctx, r, "commit last", c.Txn.ID.Decider, func(ctx context.Context, t Target) (*fsm.Vote, error) {
		v, err := t.CommitLast(ctx, c, dropped)
		unknown = unknown || judge(err) == unsure
		return v, err
	})
	if err == nil && v.Refused != nil && v.Decision == nil && unknown {
		return nil, &api.Error{Code: api.CodeAmbiguous, Op: "commit last", Err: v.Refused, Hint: "an earlier try may still commit"}
	}
	return v, err
}

// Decide has the decision group decide. It goes to no other group.
func (r *Router) Decide(ctx context.Context, d *fsm.Decide) (*fsm.Decision, error) {
	return toLeader(ctx, r, "decide", d.Txn.ID.Decider, func(ctx context.Context, t Target) (*fsm.Decision, error) {
		return t.Decide(ctx, d)
	})
}

// Outcome asks the decision group for the outcome of an attempt.
func (r *Router) Outcome(ctx context.Context, ref ident.TxnRef, abort bool) (*fsm.Decision, error) {
	return toLeader(ctx, r, "outcome", ref.ID.Decider, func(ctx context.Context, t Target) (*fsm.Decision, error) {
		return t.Outcome(ctx, ref, abort)
	})
}

// Resolve sends a decision to the participant that c names.
func (r *Router) Resolve(ctx context.Context, c fsm.Resolve) error {
	_, err := toLeader(ctx, r, "resolve", c.Group, func(ctx context.Context, t Target) (*struct{}, error) {
		return nil, t.Resolve(ctx, c)
	})
	return err
}

// toLeader sends a call that may be repeated to the group's leader.
func toLeader[T any](ctx context.Context, r *Router, op string, g api.GroupID, send func(ctx context.Context, t Target) (*T, error)) (res *T, err error) {
	ctx, cancel := bound(ctx)
	defer cancel()
	c := r.call(op, true)
	c.timeout = r.cfg.WriteTimeout
	c.send = func(ctx context.Context, node api.NodeID) (err error) {
		res, err = send(ctx, r.cfg.Remote(node))
		return err
	}
	if err := c.end(r.toGroup(ctx, c, g)); err != nil {
		return nil, err
	}
	return res, nil
}
