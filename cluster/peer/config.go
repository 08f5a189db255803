package peer

import (
	"context"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/api/wire"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Group is one group at a node that has a replica of it; a *region.Region is one.
type Group interface {
	api.Store
	api.Lister
	words.Lessor
	// KeepAlive answers one session of a keep-alive, as of its arrival; false: it gives no answer. It ends with ctx.
	KeepAlive(ctx context.Context, k *words.KeepAlive, s words.SessionKeepAlive) (words.SessionStatus, bool)
	// Acked takes an acknowledgement. It does not block.
	Acked(a words.RevokeAck)
	Participant
	Cede(ctx context.Context, r api.Range, epoch uint64, to []api.GroupID) (*fsm.Receipt, error)
	Adopt(ctx context.Context, receipt *fsm.Receipt, shard fsm.Shard) error
	// Index returns an index of the log: what a leader acknowledged before the call, stands at or before it.
	Index(ctx context.Context) (uint64, error)
	// Status tells what the node knows of the group, without waiting.
	Status() (status api.GroupStatus, sessions, leases int)
}

// Participant is a group's part in transactions across groups; docs/decisions/0011 says who calls what. Requests name their
// group, and all may be repeated.
type Participant interface {
	// Prepare's last parameter tells that the transaction holds nothing yet: it may wait for others, whatever its age.
	Prepare(ctx context.Context, p *fsm.Prepare, dropped []api.DroppedLease, free bool) (*fsm.Vote, error)
	CommitLast(ctx context.Context, c *fsm.CommitLast, dropped []api.DroppedLease) (*fsm.Vote, error)
	Decide(ctx context.Context, d *fsm.Decide) (*fsm.Decision, error)
	Outcome(ctx context.Context, ref ident.TxnRef, abort bool) (*fsm.Decision, error)
	Resolve(ctx context.Context, c fsm.Resolve) error
}

// Meta is the placement map's group at one of its voters; a *meta.Meta is one.
type Meta interface {
	Map() *placement.Map
	Get(ctx context.Context) (*placement.Map, error)
	Wait(ctx context.Context, since uint64) *placement.Map
	Propose(ctx context.Context, c placement.Command) (*placement.Map, error)
	Status() api.GroupStatus
}

// Mirror is a node's copy of the map; a *meta.Mirror is one.
type Mirror interface {
	Wait(ctx context.Context, since uint64) (*placement.Map, error)
}

// ServerConfig makes a Server. Self and Groups are required.
type ServerConfig struct {
	Self   api.NodeID
	Region api.RegionID
	Role   api.Role
	// Groups finds the group's replica at this node; the meta group is none of them. It must not block.
	Groups func(g api.GroupID) (Group, bool)
	// All lists the groups with a replica here; nil is none.
	All func() []api.GroupID
	// Term is the Raft term of this node's replica of the group, the meta group included; false where it has none. It
	// must not block.
	Term func(g api.GroupID) (uint64, bool)
	// Meta is the meta group where this node has a voter of it; nil, or returning nil, where not.
	Meta func() Meta
	// Mirror answers polls for the map where Meta cannot; nil: they get no map.
	Mirror Mirror
	// Introduce answers a node that knows this one's address alone. It must not wait for the network. nil: such calls are refused.
	Introduce func(Introduction) Standing
	Metrics   observe.Metrics // nil: observe.NoMetrics
	Logger    hclog.Logger    // nil: nowhere

	// Level is the newest that the node's program knows. 0: fsm.NewestLevel
	Level fsm.Level

	// MaxRequests bounds the requests under way; one over gets CodeUnavailable.
	MaxRequests int // 0: 2048
	// MaxControl bounds the calls of the cluster's own under way, about sessions and the placement of ranges: they are no
	// requests, so that clients' load does not keep holders from their sessions.
	MaxControl int // 0: 4096
	// Busy tells that the processors cannot keep up: then one more request than CalmRequests gets CodeUnavailable. It must
	// not block. nil: never.
	Busy func() bool
	// CalmRequests is how many requests under way are never too many.
	CalmRequests int // 0: 512
	// MaxPolls bounds the nodes that wait for a newer map.
	MaxPolls int // 0: 4096
	// MaxStreams bounds the lease streams.
	MaxStreams int // 0: 4096
	// StreamQueue bounds what waits to go down one lease stream.
	StreamQueue int // 0: 1024
	// MaxRenewals bounds the sessions of one stream that are being renewed; those over it are left out of the answer.
	MaxRenewals int // 0: 1024
	// PollPatience is how long a poll waits for news. It must be shorter than the pollers' own time-out.
	PollPatience time.Duration // 0: 5 s
	// RenewTimeout bounds the renewal of one session; an answer later than its term would be of no use.
	RenewTimeout time.Duration // 0: words.DefaultLeaseTerm
	// Faults catches the panics of requests; nil: they are not reported.
	Faults *fault.Catcher
	// Workers carry out the calls that come on streams; nil: each gets a goroutine of its own.
	Workers *wire.Workers
}

func (c *ServerConfig) complete() error {
	if c.Self == "" || c.Groups == nil {
		return api.Errorf(api.CodeInvalid, "a peer server needs its node and its groups")
	}
	if c.All == nil {
		c.All = func() []api.GroupID { return nil }
	}
	if c.Term == nil {
		c.Term = func(api.GroupID) (uint64, bool) { return 0, false }
	}
	if c.Meta == nil {
		c.Meta = func() Meta { return nil }
	}
	if c.Metrics == nil {
		c.Metrics = observe.NoMetrics{}
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Busy == nil {
		c.Busy = func() bool { return false }
	}
	orElse(&c.Level, fsm.NewestLevel)
	orElse(&c.MaxRequests, 2048)
	orElse(&c.CalmRequests, 512)
	orElse(&c.MaxControl, 4096)
	orElse(&c.MaxPolls, 4096)
	orElse(&c.MaxStreams, 4096)
	orElse(&c.StreamQueue, 1024)
	orElse(&c.MaxRenewals, 1024)
	orElse(&c.PollPatience, 5*time.Second)
	orElse(&c.RenewTimeout, words.DefaultLeaseTerm)
	return nil
}

// PoolConfig makes a Pool. Self, Server, Dial and DialCalls are required.
type PoolConfig struct {
	Self api.NodeID
	// Server answers what this node asks of itself.
	Server *Server
	// Dial connects to a node's peer lane, at its newest known address.
	Dial func(ctx context.Context, node api.NodeID) (net.Conn, error)
	// DialCalls connects to a node's lane of calls, likewise.
	DialCalls func(ctx context.Context, node api.NodeID) (net.Conn, error)
	// DialAddress connects to the peer lane of a node of which only the address is known; nil: no such calls.
	DialAddress func(ctx context.Context, address string) (net.Conn, error)
	Logger      hclog.Logger // nil: nowhere

	// ConfirmTimeout bounds one frame of confirms, whoever waits for it.
	ConfirmTimeout time.Duration // 0: 5 s
	// MaxFrames bounds the frames of confirms under way to one node; while so many are, later confirms share the next.
	MaxFrames int // 0: 2
	// MaxConfirms bounds the confirms that wait to be sent to one node; one over gets CodeUnavailable.
	MaxConfirms int // 0: 4096
}

func (c *PoolConfig) complete() error {
	if c.Self == "" || c.Server == nil || c.Dial == nil || c.DialCalls == nil {
		return api.Errorf(api.CodeInvalid, "a peer pool needs its node, its server and its dialers")
	}
	if c.DialAddress == nil {
		c.DialAddress = func(context.Context, string) (net.Conn, error) {
			return nil, api.Errorf(api.CodeUnavailable, "this node cannot dial addresses")
		}
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	orElse(&c.ConfirmTimeout, 5*time.Second)
	orElse(&c.MaxFrames, 2)
	orElse(&c.MaxConfirms, 4096)
	return nil
}

func orElse[T comparable](field *T, otherwise T) {
	var zero T
	if *field == zero {
		*field = otherwise
	}
}

// overload is the refusal of what a limit has no room for.
func overload(what string) *api.Error {
	return &api.Error{Code: api.CodeUnavailable, Hint: "this node is at its limit of " + what, RetryAfter: 100 * time.Millisecond}
}
