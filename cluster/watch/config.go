package watch

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Limits of a node.
const (
	// MaxWatchers bounds the watches of a node. One more is refused with [api.CodeUnavailable].
	MaxWatchers = 10_000
	// MaxUpstreams is the number of feeds from which on new ones are of whole directories, so that more watchers share them.
	MaxUpstreams = 1024
	// MaxRingBytes bounds what a source keeps of what it told, MaxRingsBytes what all sources keep together: then the least used
	// ones keep less.
	MaxRingBytes  = 4 << 20
	MaxRingsBytes = 256 << 20
	// MaxCatchUps bounds the watchers that catch up at once by feeds of their own. The others wait for their turn.
	MaxCatchUps = 64
	// MaxDirtyKeys bounds the keys that a watcher that collapses has at once.
	MaxDirtyKeys = 1000
	// MaxWatchIdle is how long a watcher may take nothing. Then its watch ends.
	MaxWatchIdle = 30 * time.Second
)

const (
	// A batch of several groups has what is there when it is made, for at most roundTime and roundBytes.
	roundTime  = 100 * time.Millisecond
	roundBytes = 64 << 10
	// gatherTime is how long a new source waits for watchers with older cursors before it opens.
	gatherTime = 100 * time.Millisecond
	// haltTime is how long a source may wait for an earlier owner before watches that do not need that owner have another source.
	haltTime = 5 * time.Second
	// progressEvery is how long a watcher that takes what there is hears nothing.
	progressEvery = 10 * time.Second
	// sweepEvery is how often watchers that take nothing are looked for. catchUpIdle is how long one may keep its turn to catch up.
	sweepEvery  = time.Second
	catchUpIdle = time.Second
	// minPause and maxPause bound the pause before a feed that could not be had is asked for again.
	minPause = 20 * time.Millisecond
	maxPause = time.Second
	// settleTime is how long a list waits between two pages for a watch that is behind.
	settleTime = time.Second
	// settlePoll is how often a list looks whether its watch has gone on.
	settlePoll = 20 * time.Millisecond
)

// Lister lists between nodes, with the positions of the groups.
type Lister interface {
	List(ctx context.Context, r *words.ListRequest) (*words.ListResult, error)
}

// Config configures a Hub. Feeder, Lister and Map are required.
type Config struct {
	// Feeder carries the feeds of pieces. It finds the group's leader, and ends a feed with an error if that takes too long.
	Feeder words.Feeder
	Lister Lister
	// Map returns this node's copy of the placement map, or nil while there is none. It must not block.
	Map func() *placement.Map
	// Refresh makes the copy at least as new as the call, or returns why it cannot. If nil, the copy is taken to be always new.
	Refresh func(ctx context.Context) error
	Metrics observe.Metrics // nil: observe.NoMetrics
	Faults  *fault.Catcher  // nil: panics are caught and not reported
}

func (c *Config) complete() error {
	if c.Feeder == nil || c.Lister == nil || c.Map == nil {
		return &api.Error{Code: api.CodeInvalid, Op: "watch", Hint: "Feeder, Lister and Map are required"}
	}
	if c.Refresh == nil {
		c.Refresh = func(context.Context) error { return nil }
	}
	if c.Metrics == nil {
		c.Metrics = observe.NoMetrics{}
	}
	return nil
}
