package remote

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

var (
	methodPrepare    = peer.NewMethod[transactional, fsm.Vote]("Prepare", admission.Request, peer.Nodes)
	methodCommitLast = peer.NewMethod[transactional, fsm.Vote]("CommitLast", admission.Request, peer.Nodes)
	methodDecide     = peer.NewMethod[transactional, fsm.Decision]("Decide", admission.Control, peer.Nodes)
	methodOutcome    = peer.NewMethod[outcome, fsm.Decision]("Outcome", admission.Control, peer.Nodes)
	methodResolve    = peer.NewMethod[transactional, peer.Nothing]("Resolve", admission.Control, peer.Nodes)
)

// transactional is a command of a transaction, as it would stand in the log but for what the leader judges.
type transactional struct {
	Command []byte               `cbor:"1,keyasint"`
	Dropped []ident.DroppedLease `cbor:"2,keyasint,omitempty"`
	Free    bool                 `cbor:"3,keyasint,omitempty"`
}

// message encodes a command for another node, whose leader encodes it anew for its log. Every node of this version of the wire
// knows the level, but those of commands whose steps, or number of them, came later: a node that does not know it refuses the
// command.
func message(c fsm.Command) []byte {
	level := fsm.Level2
	switch c := c.(type) {
	case fsm.Prepare:
		level = levelOf(c.If, c.Then)
	case fsm.CommitLast:
		level = levelOf(c.If, c.Then)
	}
	return fsm.Encode(c, level)
}

// levelOf returns the least level that has a part of a transaction across groups.
func levelOf(conds []api.Cond, ops []api.Op) fsm.Level {
	if len(conds) > codec.MaxOpsBefore || len(ops) > codec.MaxOpsBefore {
		return fsm.Level6
	}
	level := fsm.Level2
	for i := range ops {
		level = max(level, fsm.LevelOf(&ops[i]))
	}
	return level
}

// outcome asks what became of an attempt.
type outcome struct {
	Txn   ident.TxnRef `cbor:"1,keyasint"`
	Abort bool         `cbor:"2,keyasint,omitempty"`
}

// Prepare has a group vote.
func (n Node) Prepare(ctx context.Context, p *fsm.Prepare, dropped []ident.DroppedLease, free bool) (*fsm.Vote, error) {
	return methodPrepare.Call(ctx, n.Remote, &transactional{Command: message(*p), Dropped: dropped, Free: free})
}

// CommitLast has a group vote and commit.
func (n Node) CommitLast(ctx context.Context, c *fsm.CommitLast, dropped []ident.DroppedLease) (*fsm.Vote, error) {
	return methodCommitLast.Call(ctx, n.Remote, &transactional{Command: message(*c), Dropped: dropped})
}

// Decide has a decision group decide.
func (n Node) Decide(ctx context.Context, d *fsm.Decide) (*fsm.Decision, error) {
	return methodDecide.Call(ctx, n.Remote, &transactional{Command: message(*d)})
}

// Outcome asks a decision group, or pushes.
func (n Node) Outcome(ctx context.Context, ref ident.TxnRef, abort bool) (*fsm.Decision, error) {
	return methodOutcome.Call(ctx, n.Remote, &outcome{ref, abort})
}

// Resolve passes a decision on.
func (n Node) Resolve(ctx context.Context, c fsm.Resolve) error {
	_, err := methodResolve.Call(ctx, n.Remote, &transactional{Command: message(c)})
	return err
}

func registerParticipant(s *peer.Server, groups Groups) {
	methodPrepare.Handle(s, carried(groups, func(c *fsm.Prepare) api.GroupID { return c.Group },
		func(g Group, ctx context.Context, c *fsm.Prepare, t *transactional) (*fsm.Vote, error) {
			if err := mayVote(ctx, c.Txn.ID, c.If, c.Then); err != nil {
				return vote(err)
			}
			return g.Prepare(ctx, c, t.Dropped, t.Free)
		}))
	methodCommitLast.Handle(s, carried(groups, func(c *fsm.CommitLast) api.GroupID { return c.Txn.ID.Decider },
		func(g Group, ctx context.Context, c *fsm.CommitLast, t *transactional) (*fsm.Vote, error) {
			if err := mayVote(ctx, c.Txn.ID, c.If, c.Then); err != nil {
				return vote(err)
			}
			return g.CommitLast(ctx, c, t.Dropped)
		}))
	methodDecide.Handle(s, carried(groups, func(c *fsm.Decide) api.GroupID { return c.Txn.ID.Decider },
		func(g Group, ctx context.Context, c *fsm.Decide, _ *transactional) (*fsm.Decision, error) {
			if c.Outcome == ident.TxnCommitted { // an abort is no more than a push
				if err := ownAttempt(ctx, c.Txn.ID); err != nil {
					return nil, err
				}
			}
			return g.Decide(ctx, c)
		}))
	methodOutcome.Handle(s, of(groups, func(o *outcome) api.GroupID { return o.Txn.ID.Decider },
		func(g Group, ctx context.Context, o *outcome) (*fsm.Decision, error) {
			return g.Outcome(ctx, o.Txn, o.Abort)
		}))
	methodResolve.Handle(s, carried(groups, func(c *fsm.Resolve) api.GroupID { return c.Group },
		func(g Group, ctx context.Context, c *fsm.Resolve, _ *transactional) (*peer.Nothing, error) {
			if peer.CallerFrom(ctx).Role != api.RoleServer && guardResolveHint {
				return done(g.ResolveHint(ctx, c.Group, c.Txn))
			}
			return done(g.Resolve(ctx, *c))
		}))
}

// mayVote refuses the part of an attempt that is not the caller's own, or that has keys which the caller does not serve.
func mayVote(ctx context.Context, id ident.TxnID, conds []api.Cond, ops []api.Op) error {
	if err := ownAttempt(ctx, id); err != nil {
		return err
	}
	return partInScope(peer.CallerFrom(ctx), conds, ops)
}

// vote is the vote on a part that is refused. A coordinator that does not know its number yet is to fetch the newest map and to try
// again under another attempt, as for keys that have moved.
func vote(err error) (*fsm.Vote, error) {
	if e := api.AsError(err); e.Code == api.CodeUnavailable {
		return &fsm.Vote{Refused: &api.Error{Code: api.CodeWrongGroup, Hint: e.Hint}}, nil
	}
	return nil, err
}

// carried has each command answered by the group that it names. The message must hold a C.
func carried[C fsm.Command, Resp any](
	groups Groups, name func(*C) api.GroupID, serve func(Group, context.Context, *C, *transactional) (*Resp, error),
) func(context.Context, *transactional) (*Resp, error) {
	return func(ctx context.Context, t *transactional) (*Resp, error) {
		c, _, err := fsm.Decode(t.Command)
		if err != nil {
			return nil, err
		}
		x, ok := c.(C)
		if !ok {
			return nil, api.Errorf(api.CodeInvalid, "a message of a transaction holds another command than it should")
		}
		g, err := groups.at(name(&x))
		if err != nil {
			return nil, err
		}
		return serve(g, ctx, &x, t)
	}
}
