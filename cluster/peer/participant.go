package peer

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

var _ Participant = (*Remote)(nil)

// transactional is a command of a transaction, as it would stand in the log but for what the leader judges.
type transactional struct {
	Command []byte             `cbor:"1,keyasint"`
	Dropped []api.DroppedLease `cbor:"2,keyasint,omitempty"`
	Free    bool               `cbor:"3,keyasint,omitempty"`
	// Outcomes are those of the command, which in Command lack what version 1 cannot carry. Older programs skip them.
	Outcomes []fsm.Outcome `cbor:"4,keyasint,omitempty"`
}

// outcomes are those of the command, with what stands beside it if the other node has sent that.
func (t *transactional) outcomes(in []fsm.Outcome) []fsm.Outcome {
	if len(t.Outcomes) == len(in) {
		return t.Outcomes
	}
	return in
}

// message encodes a command for another node, which may run an older program. Its leader encodes it anew for its log.
func message(c fsm.Command) []byte { return fsm.Encode(c, fsm.Level1) }

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
func (r *Remote) Prepare(ctx context.Context, p *fsm.Prepare, dropped []api.DroppedLease, free bool) (*fsm.Vote, error) {
	return call(ctx, r, methodPrepare, &transactional{Command: message(*p), Dropped: dropped, Free: free})
}

// CommitLast has a group vote and commit.
func (r *Remote) CommitLast(ctx context.Context, c *fsm.CommitLast, dropped []api.DroppedLease) (*fsm.Vote, error) {
	return call(ctx, r, methodCommitLast, &transactional{Command: message(*c), Dropped: dropped, Outcomes: c.Outcomes})
}

// Decide has a decision group decide.
func (r *Remote) Decide(ctx context.Context, d *fsm.Decide) (*fsm.Decision, error) {
	return call(ctx, r, methodDecide, &transactional{Command: message(*d), Outcomes: d.Outcomes})
}

// Outcome asks a decision group, or pushes.
func (r *Remote) Outcome(ctx context.Context, ref ident.TxnRef, abort bool) (*fsm.Decision, error) {
	return call(ctx, r, methodOutcome, &outcome{ref, abort})
}

// Resolve passes a decision on.
func (r *Remote) Resolve(ctx context.Context, c fsm.Resolve) error {
	_, err := call(ctx, r, methodResolve, &transactional{Command: message(c)})
	return err
}

func (s *Server) prepare(ctx context.Context, t *transactional) (*fsm.Vote, error) {
	p, err := commandOf[fsm.Prepare](t)
	if err != nil {
		return nil, err
	}
	g, err := s.group(p.Group)
	if err != nil {
		return nil, err
	}
	return g.Prepare(ctx, &p, t.Dropped, t.Free)
}

func (s *Server) commitLast(ctx context.Context, t *transactional) (*fsm.Vote, error) {
	c, err := commandOf[fsm.CommitLast](t)
	if err != nil {
		return nil, err
	}
	g, err := s.group(c.Txn.ID.Decider)
	if err != nil {
		return nil, err
	}
	c.Outcomes = t.outcomes(c.Outcomes)
	return g.CommitLast(ctx, &c, t.Dropped)
}

func (s *Server) decide(ctx context.Context, t *transactional) (*fsm.Decision, error) {
	d, err := commandOf[fsm.Decide](t)
	if err != nil {
		return nil, err
	}
	g, err := s.group(d.Txn.ID.Decider)
	if err != nil {
		return nil, err
	}
	d.Outcomes = t.outcomes(d.Outcomes)
	return g.Decide(ctx, &d)
}

func (s *Server) outcome(ctx context.Context, o *outcome) (*fsm.Decision, error) {
	g, err := s.group(o.Txn.ID.Decider)
	if err != nil {
		return nil, err
	}
	return g.Outcome(ctx, o.Txn, o.Abort)
}

func (s *Server) resolve(ctx context.Context, t *transactional) (*nothing, error) {
	c, err := commandOf[fsm.Resolve](t)
	if err != nil {
		return nil, err
	}
	g, err := s.group(c.Group)
	if err != nil {
		return nil, err
	}
	return &nothing{}, g.Resolve(ctx, c)
}
