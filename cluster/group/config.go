package group

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// These are the defaults of a [Config].
const (
	DefaultMaxWaiting   = 4096
	DefaultMaxPerHolder = 1024
	DefaultDedupEpoch   = time.Hour
)

// Config configures one group's authority. Group, Node, Machine and Clock are required. The zero values of the other
// fields are valid.
type Config struct {
	Group   api.GroupID
	Node    api.NodeID
	Machine *fsm.Machine
	// Clock is the clock by which leases are judged. Everything else is timed by package time.
	Clock words.Clock
	// Metrics is this group's own registry. If nil, nothing is measured.
	Metrics observe.Metrics
	// Logger receives alarms. If nil, they are discarded.
	Logger hclog.Logger
	// Revoker reaches the holders. If nil, no holder is reached, and a write waits until each has expired.
	Revoker Revoker
	// Groups reaches other groups. If nil, none is reached, and transactions across groups stay undecided here.
	Groups Groups
	// Lost reports whether another group is known not to answer. It must not block. If nil, no group ever is.
	Lost func(api.GroupID) bool
	// AbortAfter is how long a transaction may stay prepared, once a request waits for it or the sweeper sees it,
	// before it is aborted unless it was decided. 0 means 3 s.
	AbortAfter time.Duration
	// Moment is how long a transaction waits for an older one before it gives way. 0 means 20 ms.
	Moment time.Duration
	// Init, if not nil, founds the group. A leader whose machine is not initialised proposes it, and requests wait
	// for it.
	Init *fsm.Init
	// Level is that at which Init founds the group. 0 is the newest.
	Level fsm.Level
	// Removed reports whether the node was removed from the cluster: its sessions are not renewed, it gets no leases,
	// and what it holds ends by expiry. It must not block. If nil, no node ever was.
	Removed func(api.NodeID) bool
	// OnLead, if not nil, is called when this node begins to lead the group. It must not block.
	OnLead func(words.Leads)

	// EdgeLimits returns the longest term and pause allowance of an edge's session. It must not block. If nil, they are
	// words.DefaultEdgeLeaseMax and words.DefaultEdgePauseMax.
	EdgeLimits func() (term, pause time.Duration)

	// CoolDown is how long after a write no lease on its keys is given. 0 means 100 ms, negative means none.
	CoolDown time.Duration
	// MaxWaiting bounds the writes that wait for holders. The same bound applies separately to the requests that wait
	// for a new leader's first entry. 0 means [DefaultMaxWaiting] for each. A request over the bound is refused with
	// CodeUnavailable.
	MaxWaiting int
	// MaxPerHolder bounds the writes that wait for one holder. 0 means [DefaultMaxPerHolder]. A write over the bound
	// is refused with words.Crowded.
	MaxPerHolder int
	// Gather is the least time between two sendings of revocations. The revocations that a burst of writes asks for
	// in that time go in one message a session. 0 means 1 ms, negative means none.
	Gather time.Duration
	// SuspectAfter is how long a holder may leave a revocation unanswered before it is no longer renewed. 0 means
	// words.SuspectAfterNoAnswer.
	SuspectAfter time.Duration
	// Linger is how long after its expiry a session is ended even if no write waits for it. 0 means 60 s.
	Linger time.Duration
	// TombstoneAge is how long the versions of deleted keys are kept. 0 means 1 h.
	TombstoneAge time.Duration
	// History returns how many bytes of its history the group keeps, and for how long. It must not block. With 0 bytes it
	// keeps none. If it is nil, that is fsm.DefaultHistory, and a day.
	History func() (bytes uint64, age time.Duration)
	// DedupEpoch is how often the leader begins a new dedup epoch. 0 means [DefaultDedupEpoch].
	DedupEpoch time.Duration
}

// Replica is what an authority needs of its group's log. A *replica.Replica[fsm.Result] implements it.
type Replica interface {
	// Propose returns the result of applying the command. CodeAmbiguous means that the outcome is unknown. Any other
	// error means that the command was not applied.
	Propose(ctx context.Context, command []byte) (fsm.Result, error)
	// QuorumConfirm returns nil if no leader of a higher term had been elected at some instant after the call.
	QuorumConfirm(ctx context.Context, term uint64) error
	// Leader returns the leader that this replica knows ("" if none) and its term.
	Leader() (node string, term uint64)
}

// Revoker sends revocations to holders. It never blocks. An error means that the holder cannot be reached now.
type Revoker interface {
	Revoke(holder ident.Nonce, node api.NodeID, r words.Revocation) error
}

func (c *Config) check() error {
	if c.Group == "" || c.Node == "" || c.Machine == nil || c.Clock == nil {
		return api.Errorf(api.CodeInvalid, "an authority needs a group, a node, a machine and a clock")
	}
	return nil
}

func (c *Config) setDefaults() {
	if c.Metrics == nil {
		c.Metrics = observe.NoMetrics{}
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.OnLead == nil {
		c.OnLead = func(words.Leads) {}
	}
	if c.Groups == nil {
		c.Groups = noGroups{}
	}
	if c.EdgeLimits == nil {
		c.EdgeLimits = func() (term, pause time.Duration) { return words.DefaultEdgeLeaseMax, words.DefaultEdgePauseMax }
	}
	if c.History == nil {
		c.History = func() (uint64, time.Duration) { return fsm.DefaultHistory, 24 * time.Hour }
	}
	if c.Lost == nil {
		c.Lost = func(api.GroupID) bool { return false }
	}
	if c.Removed == nil {
		c.Removed = func(api.NodeID) bool { return false }
	}
	or(&c.Level, fsm.NewestLevel)
	or(&c.AbortAfter, 3*time.Second)
	or(&c.Moment, 20*time.Millisecond)
	or(&c.CoolDown, 100*time.Millisecond)
	or(&c.MaxWaiting, DefaultMaxWaiting)
	or(&c.MaxPerHolder, DefaultMaxPerHolder)
	or(&c.Gather, time.Millisecond)
	or(&c.SuspectAfter, words.SuspectAfterNoAnswer)
	or(&c.Linger, time.Minute)
	or(&c.TombstoneAge, time.Hour)
	or(&c.DedupEpoch, DefaultDedupEpoch)
}

// or sets *v to d if *v is zero.
func or[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// noGroups is a Groups that reaches no group.
type noGroups struct{}

func (noGroups) Outcome(context.Context, ident.TxnRef, bool) (*fsm.Decision, error) {
	return nil, unavailable("other groups cannot be reached from here")
}
func (noGroups) Resolve(context.Context, fsm.Resolve) error {
	return unavailable("other groups cannot be reached from here")
}
