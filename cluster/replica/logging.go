package replica

import (
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/cluster/notice"
)

// raftLog is the log that Raft writes to. Raft complains at each try: of one dead member twice a second and group. What it says of a
// member is written when that begins, then seldom, with a count of what was left out, and once when the member answers again. So is
// every other complaint, each by itself.
type raftLog struct {
	hclog.Logger
	said   notice.Book
	silent notice.Book // members that do not answer, by what Raft calls them
}

// unreachable are the complaints which say that a member does not answer. They are one state.
var unreachable = map[string]bool{
	"failed to heartbeat to":         true,
	"failed to appendEntries to":     true,
	"failed to contact":              true,
	"failed to make requestVote RPC": true,
}

func (l *raftLog) Warn(msg string, args ...any) { l.complain(l.Logger.Warn, msg, args) }

func (l *raftLog) Error(msg string, args ...any) { l.complain(l.Logger.Error, msg, args) }

func (l *raftLog) complain(write func(string, ...any), msg string, args []any) {
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
		args = append(args[:len(args):len(args)], "left_out", omitted)
	}
	write(msg, args...)
}

// peerIn is the member that the arguments of a line name: Raft knows it by its id here, by its address there.
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

// answered notes that a member has answered.
func (l *raftLog) answered(id raft.ServerID, address raft.ServerAddress) {
	byID, n := l.silent.Clear(string(id))
	byAddress, m := l.silent.Clear(string(address))
	if byID || byAddress {
		l.Info("a member answers again", "peer", id, "left_out", n+m)
	}
}

// closingLog is a log that drops complaints once its replica closes: that connections end then is no news to anybody.
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
