package txn

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// DefaultMaxCleanups is the default of [Config].MaxCleanups.
const DefaultMaxCleanups = 1024

// Config makes a Coordinator. Store, Groups and Map are required.
type Config struct {
	// Store carries what is one group's to that group.
	Store words.Store
	// Groups reaches each group at its leader.
	Groups remote.Participant
	// Map is this node's copy of the placement map; nil while there is none. Refresh makes it as new as the call.
	Map     func() *placement.Map
	Refresh func(ctx context.Context) error
	// Region is this node's: the decision group is one of its groups, if it has any.
	Region api.RegionID
	// Well reports whether a group has answered this node a moment ago, Lost whether it is known not to. Neither may block. nil:
	// all groups are well.
	Well, Lost func(g api.GroupID) bool
	// DedupEpoch is a group's dedup epoch, as far as it is known here; zero if it is not.
	DedupEpoch func(g api.GroupID) ident.DedupEpoch
	// Metrics is where this room registers what it measures; nil measures nothing.
	Metrics observe.Metrics
	Logger  hclog.Logger
	// Faults catches the panics of what goes to several groups at once; nil: they are not reported.
	Faults *fault.Catcher
	// Cleanup bounds what goes on after the caller has its answer, or has left. 0 is 5 s.
	Cleanup time.Duration
	// MaxCleanups bounds the transactions that are being cleaned up at once; what is over is left to whoever meets it.
	// 0 is [DefaultMaxCleanups].
	MaxCleanups int
	// Rand is a number from 0 to 1; nil is a random one.
	Rand func() float64
}

func (c *Config) complete() error {
	if c.Store == nil || c.Groups == nil || c.Map == nil {
		return api.Errorf(api.CodeInvalid, "a coordinator needs a store, groups and a map")
	}
	if c.Refresh == nil {
		c.Refresh = func(context.Context) error { return nil }
	}
	if c.Well == nil {
		c.Well = func(api.GroupID) bool { return true }
	}
	if c.Lost == nil {
		c.Lost = func(api.GroupID) bool { return false }
	}
	if c.DedupEpoch == nil {
		c.DedupEpoch = func(api.GroupID) ident.DedupEpoch { return ident.DedupEpoch{} }
	}
	if c.Metrics == nil {
		c.Metrics = observe.NoMetrics{}
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Cleanup == 0 {
		c.Cleanup = 5 * time.Second
	}
	if c.MaxCleanups == 0 {
		c.MaxCleanups = DefaultMaxCleanups
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return nil
}
