package remote

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

var (
	methodPrepare    = peer.NewMethod[transactional, fsm.Vote]("Prepare", peer.Requests, peer.Nodes)
	methodCommitLast = peer.NewMethod[transactional, fsm.Vote]("CommitLast", peer.Requests, peer.Nodes)
	methodDecide     = peer.NewMethod[transactional, fsm.Decision]("Decide", peer.Control, peer.Nodes)
	methodOutcome    = peer.NewMethod[outcome, fsm.Decision]("Outcome", peer.Control, peer.Nodes)
	methodResolve    = peer.NewMethod[transactional, peer.Nothing]("Resolve", peer.Control, peer.Nodes)
)

// transactional is a command of a transaction, as it would stand in the log but for what the leader judges.
type transactional struct {
	Command []byte             `cbor:"1,keyasint"`
	Dropped []api.DroppedLease `cbor:"2,keyasint,omitempty"`
	Free    bool               `cbor:"3,keyasint,omitempty"`
}

// message encodes a command for another node, whose leader encodes it anew for its log. Every node of this version of the wire
// knows the level.
func message(c fsm.Command) []byte { return fsm.Encode(c, fsm.Level2) }

// outcome asks what became of an attempt.
type outcome struct {
	Txn   ident.TxnRef `cbor:"1,keyasint"`
	Abort bool         `cbor:"2,keyasint,omitempty"`
}

// commandOf takes the command out of a message, which must be a C.
func commandOf[C fsm.Command](t *transactional) (C, error) {
	c, _, err := fsm.Decode(t.Command)
	if err != nil {
		return *new(C), err
	}
	x, ok := c.(C)
	if !ok {
		return x, api.Errorf(api.CodeInvalid, "a message of a transaction holds another command than it should")
	}
	return x, nil
}

// Prepare has a group vote.
func (n Node) Prepare(ctx context.Context, p *fsm.Prepare, dropped []api.DroppedLease, free bool) (*fsm.Vote, error) {
	return methodPrepare.Call(ctx, n.Remote, &transactional{Command: message(*p), Dropped: dropped, Free: free})
}

// CommitLast has a group vote and commit.
func (n Node) CommitLast(ctx context.Context, c *fsm.CommitLast, dropped []api.DroppedLease) (*fsm.Vote, error) {
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
	methodPrepare.Handle(s, groups.prepare)
	methodCommitLast.Handle(s, groups.commitLast)
	methodDecide.Handle(s, groups.decide)
	methodOutcome.Handle(s, groups.outcome)
	methodResolve.Handle(s, groups.resolve)
}

func (find Groups) prepare(ctx context.Context, t *transactional) (*fsm.Vote, error) {
	p, err := commandOf[fsm.Prepare](t)
	if err != nil {
		return nil, err
	}
	g, err := find.at(p.Group)
	if err != nil {
		return nil, err
	}
	return g.Prepare(ctx, &p, t.Dropped, t.Free)
}

func (find Groups) commitLast(ctx context.Context, t *transactional) (*fsm.Vote, error) {
	c, err := commandOf[fsm.CommitLast](t)
	if err != nil {
		return nil, err
	}
	g, err := find.at(c.Txn.ID.Decider)
	if err != nil {
		return nil, err
	}
	return g.CommitLast(ctx, &c, t.Dropped)
}

func (find Groups) decide(ctx context.Context, t *transactional) (*fsm.Decision, error) {
	d, err := commandOf[fsm.Decide](t)
	if err != nil {
		return nil, err
	}
	g, err := find.at(d.Txn.ID.Decider)
	if err != nil {
		return nil, err
	}
	return g.Decide(ctx, &d)
}

func (find Groups) outcome(ctx context.Context, o *outcome) (*fsm.Decision, error) {
	g, err := find.at(o.Txn.ID.Decider)
	if err != nil {
		return nil, err
	}
	return g.Outcome(ctx, o.Txn, o.Abort)
}

func (find Groups) resolve(ctx context.Context, t *transactional) (*peer.Nothing, error) {
	c, err := commandOf[fsm.Resolve](t)
	if err != nil {
		return nil, err
	}
	g, err := find.at(c.Group)
	if err != nil {
		return nil, err
	}
	return &peer.Nothing{}, g.Resolve(ctx, c)
}
