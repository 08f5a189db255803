package replica

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// outcome converts Raft's error about an entry. Three of Raft's errors mean that the entry did not enter the log;
// after any other one the outcome is unknown.
func outcome(op string, err error) *api.Error {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		return notLeader(op, "")
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "the log accepts no entries now", RetryAfter: retryAfter, Err: err}
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "leadership is moving", RetryAfter: retryAfter, Err: err}
	}
	return errAmbiguous(op, "leadership or the log was lost while the entry was under way", err)
}

// retryAfter is the hint for callers when a refusal is short-lived.
const retryAfter = 20 * time.Millisecond

func notLeader(op, leader string) *api.Error {
	return &api.Error{Code: api.CodeNotLeader, Op: op, Leader: api.NodeID(leader)}
}

// withLeader adds the present leader to a CodeNotLeader error. It copies the error, which proposers share.
func withLeader(err error, leader string) error {
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Code != api.CodeNotLeader || e.Leader != "" {
		return err
	}
	c := *e
	c.Leader = api.NodeID(leader)
	return &c
}

func errClosed(op string) *api.Error {
	return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "this replica is closed"}
}

func errAmbiguous(op, hint string, cause error) *api.Error {
	return &api.Error{Code: api.CodeAmbiguous, Op: op, Hint: hint, Err: cause}
}
