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

// The defaults of a [Config].
const (
	DefaultMaxWaiting   = 4096
	DefaultMaxPerHolder = 1024
	DefaultDedupEpoch   = time.Hour
)

// Config describes one group's authority. Group, Node, Machine and Clock are required; zero values of the rest work.
type Config struct {
	Group   api.GroupID
	Node    api.NodeID
	Machine *fsm.Machine
	// Clock judges leases. Everything else is timed by package time.
	Clock words.Clock
	// Metrics is this group's own registry; nil measures nothing.
	Metrics observe.Metrics
	// Logger is where alarms go; nil is nowhere.
	Logger hclog.Logger
	// Revoker reaches the holders; nil reaches none of them, so that each is outwaited.
	Revoker Revoker
	// Groups reaches other groups; nil reaches none, so that transactions across groups stay undecided here.
	Groups Groups
	// Lost reports whether another group is known not to answer; it must not block. nil: none ever is.
	Lost func(api.GroupID) bool
	// AbortAfter is how long a transaction may stay prepared, where somebody waits for it or the sweeper sees it, before it is
	// aborted unless it was decided; 0 is 3 s.
	AbortAfter time.Duration
	// Moment is how long a transaction waits for an older one before it gives way; 0 is 20 ms.
	Moment time.Duration
	// Init, where set, founds the group: a leader whose machine is not initialised proposes it, and requests wait for it.
	Init *fsm.Init
	// OnLead, where set, is told when this node begins to lead the group. It must not block.
	OnLead func(words.Leads)

	// CoolDown is how long after a write no lease on its keys is given; 0 is 100 ms, negative is none.
	CoolDown time.Duration
	// MaxWaiting bounds the writes that wait for holders, and again the requests that wait for a new leader's first
	// entry; 0 is [DefaultMaxWaiting] each. One over gets CodeUnavailable.
	MaxWaiting int
	// MaxPerHolder bounds those of the writes that wait for one holder; 0 is [DefaultMaxPerHolder]. One over gets words.Crowded.
	MaxPerHolder int
	// Gather is the least time between two sendings of revocations: what a burst of writes asks for meanwhile goes in one
	// message a session. 0 is 1 ms, negative is none.
	Gather time.Duration
	// SuspectAfter is how long a holder may leave a revocation unanswered before it is renewed no more; 0 is
	// words.SuspectAfterNoAnswer.
	SuspectAfter time.Duration
	// Linger is how long after its expiry a session is ended even if no write waits for it; 0 is 60 s.
	Linger time.Duration
	// TombstoneAge is how long the versions of deleted keys are kept; 0 is 1 h.
	TombstoneAge time.Duration
	// DedupEpoch is how often the leader begins a new dedup epoch; 0 is [DefaultDedupEpoch].
	DedupEpoch time.Duration
}

// Replica is what this room needs of its group's log; a *replica.Replica[fsm.Result] is one.
type Replica interface {
	// Propose returns what applying the command gave. CodeAmbiguous where that is unknown; other errors: not applied.
	Propose(ctx context.Context, command []byte) (fsm.Result, error)
	// QuorumConfirm tells that no leader of a higher term had been elected at some instant after the call.
	QuorumConfirm(ctx context.Context, term uint64) error
	// Leader is the leader that this replica knows ("" if none) and its term.
	Leader() (node string, term uint64)
}

// Revoker sends revocations to holders. It never blocks; an error means: not reachable now.
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
	if c.Lost == nil {
		c.Lost = func(api.GroupID) bool { return false }
	}
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

// or sets what is zero to its default.
func or[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// noGroups reaches nobody.
type noGroups struct{}

func (noGroups) Outcome(context.Context, ident.TxnRef, bool) (*fsm.Decision, error) {
	return nil, unavailable("other groups cannot be reached from here")
}
func (noGroups) Resolve(context.Context, fsm.Resolve) error {
	return unavailable("other groups cannot be reached from here")
}
