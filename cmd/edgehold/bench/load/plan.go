// Package load puts a load on a store and measures how it bears it. What the store is stands in functions (see [Target]),
// so that the same load can be put on anything.
//
// # What a latency is
//
// With a rate ([Plan].Rate, an open loop) each operation has an instant at which it is due, whatever the store does, and
// its latency counts from there: where all clients are busy it waits, and that wait is part of what a user would have
// felt. Such an operation is late. None is skipped: what was due and could not even be started is counted as well. Without
// a rate (a closed loop) each client starts its next operation when the last one has ended, and latencies count from there.
package load

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Plan is a load.
type Plan struct {
	Keys Keys
	// Zipf skews the choice of keys: the n-th most popular is chosen as often as 1/n^Zipf. 0 chooses all alike.
	Zipf float64
	// Reads is how many of a hundred operations are reads; the others are writes.
	Reads float64
	// ValueSize is the length of a written value, no two of which are alike.
	ValueSize int
	// Clients is how many operations may be under way at each target.
	Clients int
	// Rate is how many operations are due in a second, all targets together, evenly spaced. 0 is a closed loop.
	Rate float64
	// Warmup goes before Duration and is not measured. What waits for a client when it ends is left out: it was due in it.
	Warmup, Duration time.Duration
	// Consistency is what reads ask for, as the report names it.
	Consistency string
	// Seed chooses keys and operations; the same seed, the same choice. 0 is a random one.
	Seed uint64
}

// Target is a place at which the load arrives. Its functions are called by many goroutines and end with their context.
type Target struct {
	// Endpoint and Node name the place in the report.
	Endpoint string
	Node     api.NodeID
	// Read reads a key. That it is absent is [api.CodeNotFound], and counts as an answer.
	Read func(ctx context.Context, k api.Key) (api.ServedBy, error)
	// Write writes a value, which is the caller's again once it has returned.
	Write func(ctx context.Context, k api.Key, value []byte) error
}

// Phase is what a run is doing.
type Phase string

// The phases, in their order.
const (
	Warming   Phase = "warming up"
	Measuring Phase = "measuring"
	Finishing Phase = "finishing" // what is under way; nothing new is started
)

// Reading is what a run tells while it goes on: of the moment just past, but for Failed and Late.
type Reading struct {
	Phase        Phase
	Elapsed      time.Duration // of Warmup and Duration together
	OpsPerSecond float64
	P50, P99     time.Duration
	Failed, Late int64 // since the measuring began
}
