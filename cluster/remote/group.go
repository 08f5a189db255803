package remote

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Group is one group at a node that has a replica of it; a *group.Authority is one.
type Group interface {
	words.Store
	words.Lister
	words.Lessor
	words.Feeder
	Participant
	// KeepAlive answers one session of a keep-alive, as of its arrival; false: it gives no answer. It ends with ctx.
	KeepAlive(ctx context.Context, k *words.KeepAlive, s words.SessionKeepAlive) (words.SessionStatus, bool)
	// ResolveHint takes note that a transaction may be over: the group asks the decision group. It does not wait for that.
	ResolveHint(ctx context.Context, g api.GroupID, id ident.TxnID) error
	// Acked takes an acknowledgement. It does not block.
	Acked(a words.RevokeAck)
	Cede(ctx context.Context, r api.Range, epoch uint64, to []api.GroupID) (*fsm.Receipt, error)
	Adopt(ctx context.Context, receipt *fsm.Receipt, shard fsm.Shard) error
}

// Participant is a group's part in transactions across groups; docs/decisions/0011 has the order of the calls. Requests name their
// group, and all may be repeated.
type Participant interface {
	// Prepare's last parameter says that the transaction holds nothing yet: it may wait for others, whatever its age.
	Prepare(ctx context.Context, p *fsm.Prepare, dropped []ident.DroppedLease, free bool) (*fsm.Vote, error)
	CommitLast(ctx context.Context, c *fsm.CommitLast, dropped []ident.DroppedLease) (*fsm.Vote, error)
	Decide(ctx context.Context, d *fsm.Decide) (*fsm.Decision, error)
	Outcome(ctx context.Context, ref ident.TxnRef, abort bool) (*fsm.Decision, error)
	Resolve(ctx context.Context, c fsm.Resolve) error
}

// Groups finds a group's replica at this node; the meta group is none of them. It must not block.
type Groups func(g api.GroupID) (Group, bool)

// at is the group's replica. If there is none here, others may have one: that is no error of the map.
func (find Groups) at(id api.GroupID) (Group, error) {
	if id == "" {
		return nil, api.Errorf(api.CodeInvalid, "a request between nodes names its group")
	}
	if g, ok := find(id); ok {
		return g, nil
	}
	return nil, NotHere(id)
}

// NotHere is the refusal of a node that has no replica of the group.
func NotHere(id api.GroupID) *api.Error {
	return api.Errorf(api.CodeNotLeader, "this node has no replica of group %s", id)
}

// of has each request answered by the group that it names.
func of[Req, Resp any](
	groups Groups, name func(*Req) api.GroupID, serve func(Group, context.Context, *Req) (*Resp, error),
) func(context.Context, *Req) (*Resp, error) {
	return func(ctx context.Context, q *Req) (*Resp, error) {
		g, err := groups.at(name(q))
		if err != nil {
			return nil, err
		}
		return serve(g, ctx, q)
	}
}

// done is the answer of a method that only succeeds or fails.
func done(err error) (*peer.Nothing, error) { return &peer.Nothing{}, err }

// Register has the server answer calls about the groups.
func Register(s *peer.Server, groups Groups) {
	registerStore(s, groups)
	registerSessions(s, groups)
	registerParticipant(s, groups)
	registerMoves(s, groups)
	registerFeeds(s, groups)
}

// Node is a node as the callers of its groups see it. Requests name their group. If the node cannot be reached, or the
// connection breaks, a write whose outcome is unknown gets CodeAmbiguous; everything else gets CodeUnavailable. Safe for
// concurrent use.
type Node struct{ *peer.Remote }

var (
	_ words.Store  = Node{}
	_ words.Lister = Node{}
	_ words.Lessor = Node{}
	_ words.Feeder = Node{}
	_ Participant  = Node{}
)
