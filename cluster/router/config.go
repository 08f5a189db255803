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

// Target is a node as the router calls it: a remote.Node is one. Requests name their group.
type Target interface {
	words.Store
	words.Lister
	words.Lessor
	remote.Participant
}

// DefaultMaxPaused is the default of [Config].MaxPaused.
const DefaultMaxPaused = 512

// Config makes a Router. Self, Map and Remote are required.
type Config struct {
	Self   api.NodeID
	Region api.RegionID // this node's: nodes of it are asked first where the leader is unknown
	// Map is this node's copy of the placement map; nil while there is none. It must not block.
	Map func() *placement.Map
	// Refresh makes the copy at least as new as the call, or says why it cannot; it may share one fetch between callers.
	// nil: the copy is always new.
	Refresh func(ctx context.Context) error
	// Remote is the node with that id, or this node itself.
	Remote func(node api.NodeID) Target
	// DedupEpoch is the group's dedup epoch as this node last heard; zero if it has not lately. nil: it never hears.
	DedupEpoch func(g api.GroupID) ident.DedupEpoch
	Metrics    observe.Metrics // nil: observe.NoMetrics
	Faults     *fault.Catcher  // catches the panics of what goes to several groups at once; nil: they are not reported
	// Rand draws from [0,1), for jitter; safe for concurrent use. nil: math/rand/v2.
	Rand func() float64

	// ReadTimeout bounds one attempt of a read or a list, so that a silent node does not use up the caller's time.
	ReadTimeout time.Duration // 0: 2 s
	// WriteTimeout bounds one attempt of a write that may be sent again. It should leave a leader the time to outwait a
	// lease holder. One that may not be sent again has the caller's whole time.
	WriteTimeout time.Duration // 0: 8 s
	// MaxPaused bounds the requests that wait for a node that asked for patience: one more is told so at once, as a node
	// that cannot keep up is not helped by requests that come again.
	MaxPaused int // 0: [DefaultMaxPaused]
	// MinBackoff and MaxBackoff bound the pause after all voters of a group were asked in vain.
	MinBackoff time.Duration // 0: 10 ms
	MaxBackoff time.Duration // 0: 300 ms
	// WellWithin is how long after its leader's newest answer a group is held for well, LostAfter how long for not lost.
	// Keep-alives are answered once a second: a group of which two are missing is not known to be well, and elections take less
	// than LostAfter.
	WellWithin time.Duration // 0: 2.5 s
	LostAfter  time.Duration // 0: 5 s
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
