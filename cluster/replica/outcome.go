package replica

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// outcome is Raft's error about an entry as one of ours (PROTOCOL 8). Three of them mean that it did not enter the log;
// every other one leaves the outcome unknown.
func outcome(op string, err error) *api.Error {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		return notLeader(op, "")
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "the log takes no entries now", RetryAfter: retryAfter, Err: err}
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "leadership is moving", RetryAfter: retryAfter, Err: err}
	}
	return errAmbiguous(op, "leadership or the log was lost while the entry was under way", err)
}

// retryAfter is a hint for callers that were refused for a moment.
const retryAfter = 20 * time.Millisecond

func notLeader(op, leader string) *api.Error {
	return &api.Error{Code: api.CodeNotLeader, Op: op, Leader: api.NodeID(leader)}
}

// withLeader adds who leads now to an error that says not to ask here. Errors are shared between proposers: it copies.
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
