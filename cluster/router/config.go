package router

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Target is a node as the router calls it. A remote.Node is a Target. Requests name their group.
type Target interface {
	words.Store
	words.Lister
	words.Lessor
	words.Feeder
	remote.Participant
}

// DefaultMaxPaused is the default of [Config].MaxPaused.
const DefaultMaxPaused = 512

// Config configures a Router. Self, Map and Remote are required.
type Config struct {
	Self   api.NodeID
	Region api.RegionID // of this node: its nodes are asked first if the leader is unknown
	// Map returns this node's copy of the placement map, or nil while there is none. It must not block.
	Map func() *placement.Map
	// Refresh makes the copy at least as new as the call, or returns why it cannot. It may share one fetch between
	// callers. If nil, the copy is taken to be always new.
	Refresh func(ctx context.Context) error
	// Remote returns the node with that id. The node may be this one.
	Remote func(node api.NodeID) Target
	// DedupEpoch returns the group's dedup epoch as this node last heard it, or zero if it has not heard one lately. If
	// nil, no epoch is ever known.
	DedupEpoch func(g api.GroupID) ident.DedupEpoch
	Metrics    observe.Metrics // nil: observe.NoMetrics
	Faults     *fault.Catcher  // catches panics in calls that go to several groups at once; nil: they are not reported
	// Rand draws from [0,1), for jitter. It must be safe for concurrent use. If nil, math/rand/v2 is used.
	Rand func() float64

	// ReadTimeout bounds one attempt of a read or a list, so that a silent node does not use up the caller's time.
	ReadTimeout time.Duration // 0: 2 s
	// WriteTimeout bounds one attempt of a write that may be sent again. It should leave a leader the time to await the
	// expiry of a holder's leases. A write that may not be sent again has the caller's whole time.
	WriteTimeout time.Duration // 0: 8 s
	// MaxPaused bounds the requests that wait because a node asked them to. One more is refused at once, since requests
	// that come again do not help a node that cannot keep up.
	MaxPaused int // 0: [DefaultMaxPaused]
	// MinBackoff and MaxBackoff bound the pause after all voters of a group were asked without success.
	MinBackoff time.Duration // 0: 10 ms
	MaxBackoff time.Duration // 0: 300 ms
	// WellWithin is how long a group is taken to be well after its leader's newest answer. LostAfter is how long it is
	// taken not to be lost. Keep-alives are answered once a second: a group that misses two of them is not known to be
	// well. Elections take less than LostAfter.
	WellWithin time.Duration // 0: 2.5 s
	LostAfter  time.Duration // 0: 5 s
	// FeedSilence is how long a feed may be silent before it is taken for broken. A leader sends something once a second.
	FeedSilence time.Duration // 0: 5 s
}

func (c *Config) complete() error {
	if c.Self == "" || c.Map == nil || c.Remote == nil {
		return &api.Error{Code: api.CodeInvalid, Op: "router", Hint: "Self, Map and Remote are required"}
	}
	if c.Refresh == nil {
		c.Refresh = func(context.Context) error { return nil }
	}
	if c.DedupEpoch == nil {
		c.DedupEpoch = func(api.GroupID) ident.DedupEpoch { return ident.DedupEpoch{} }
	}
	if c.Metrics == nil {
		c.Metrics = observe.NoMetrics{}
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	orElse(&c.ReadTimeout, 2*time.Second)
	orElse(&c.WriteTimeout, 2*words.DefaultLeaseTerm)
	if c.MaxPaused == 0 {
		c.MaxPaused = DefaultMaxPaused
	}
	orElse(&c.MinBackoff, 10*time.Millisecond)
	orElse(&c.MaxBackoff, 300*time.Millisecond)
	orElse(&c.WellWithin, 5*words.DefaultKeepAlive/2)
	orElse(&c.LostAfter, 5*words.DefaultKeepAlive)
	orElse(&c.FeedSilence, 5*time.Second)
	if c.ReadTimeout < 0 || c.WriteTimeout < 0 || c.MinBackoff < 0 || c.MaxBackoff < c.MinBackoff {
		return &api.Error{Code: api.CodeInvalid, Op: "router", Hint: "a time is out of range"}
	}
	return nil
}

func orElse(d *time.Duration, otherwise time.Duration) {
	if *d == 0 {
		*d = otherwise
	}
}
