package replica

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/cluster/notice"
)

// raftLog is the logger that Raft writes to. Raft warns at each attempt, about a dead member twice a second in each group.
// raftLog writes the first warning about a member, then a few with a count of those that it left out, and a line when the
// member answers again. It treats every other warning likewise, each by itself.
type raftLog struct {
	hclog.Logger
	said   notice.Book
	silent notice.Book // members that do not answer, by the name that Raft uses
}

// unreachable are the warnings about a member that does not answer. They are one state.
var unreachable = map[string]bool{
	"failed to heartbeat to":         true,
	"failed to appendEntries to":     true,
	"failed to contact":              true,
	"failed to make requestVote RPC": true,
}

func (l *raftLog) Warn(msg string, args ...any) { l.limit(l.Logger.Warn, msg, args) }

func (l *raftLog) Error(msg string, args ...any) { l.limit(l.Logger.Error, msg, args) }

func (l *raftLog) limit(write func(string, ...any), msg string, args []any) {
	peer := peerIn(args)
	book, subject := &l.said, msg+" "+peer
	if unreachable[msg] && peer != "" {
		book, subject = &l.silent, peer
	}
	first, omitted := book.Say(subject, "")
	if !first {
		return
	}
	if omitted > 0 {
		args = append(slices.Clip(args), "left_out", omitted)
	}
	write(msg, args...)
}

// peerIn returns the member in the arguments of a line: Raft sometimes gives its id, sometimes its address.
func peerIn(args []any) string {
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "target", "server-id":
			if s, ok := args[i+1].(raft.Server); ok {
				return string(s.ID)
			}
			return fmt.Sprint(args[i+1])
		}
	}
	return ""
}

// answered records that a member has answered.
func (l *raftLog) answered(id raft.ServerID, address raft.ServerAddress) {
	byID, n := l.silent.Clear(string(id))
	byAddress, m := l.silent.Clear(string(address))
	if byID || byAddress {
		l.Info("a member answers again", "peer", id, "left_out", n+m)
	}
}

// closingLog is a logger that drops warnings and errors when the replica is closing: connections that end then are no news.
type closingLog struct {
	hclog.Logger
	closing atomic.Bool
}

func (q *closingLog) Warn(msg string, args ...any) {
	if !q.closing.Load() {
		q.Logger.Warn(msg, args...)
	}
}

func (q *closingLog) Error(msg string, args ...any) {
	if !q.closing.Load() {
		q.Logger.Error(msg, args...)
	}
}
