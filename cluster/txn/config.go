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

// Config configures a Coordinator. Store, Groups and Map are required.
type Config struct {
	// Store carries out what belongs to one group.
	Store words.Store
	// Groups reaches each group at its leader.
	Groups remote.Participant
	// Map returns this node's copy of the placement map, or nil while there is none. Refresh makes the copy at least as
	// new as the call.
	Map     func() *placement.Map
	Refresh func(ctx context.Context) error
	// Num returns this node's number in the placement map, which its attempts carry, or 0 if it has none. It must not
	// block. If nil, it has none.
	Num func() uint32
	// Region is the region of this node. The decision group is one of that region's groups, if it has any.
	Region api.RegionID
	// Well reports whether a group has answered this node recently. Lost reports whether the group is known not to
	// answer. Neither may block. If they are nil, all groups are taken to be well.
	Well, Lost func(g api.GroupID) bool
	// DedupEpoch returns a group's dedup epoch as known to this node, or zero if it is not known.
	DedupEpoch func(g api.GroupID) ident.DedupEpoch
	// Metrics registers this package's measurements. If nil, nothing is measured.
	Metrics observe.Metrics
	Logger  hclog.Logger
	// Faults catches panics in calls that go to several groups at once. If nil, they are not reported.
	Faults *fault.Catcher
	// Cleanup bounds the work that goes on after the caller has its answer or has left. 0 means 5 s.
	Cleanup time.Duration
	// MaxCleanups bounds the transactions that are cleaned up at once. Transactions over the bound are left to the
	// requests that meet them. 0 means [DefaultMaxCleanups].
	MaxCleanups int
	// Rand returns a number from 0 to 1. If nil, a random source is used.
	Rand func() float64
}

func (c *Config) complete() error {
	if c.Store == nil || c.Groups == nil || c.Map == nil {
		return api.Errorf(api.CodeInvalid, "a coordinator needs a store, groups and a map")
	}
	if c.Refresh == nil {
		c.Refresh = func(context.Context) error { return nil }
	}
	if c.Num == nil {
		c.Num = func() uint32 { return 0 }
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
