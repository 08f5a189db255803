// Package load puts a load on a store and measures it. A store is a pair of functions (see [Target]), so any store can be measured.
//
// # Latency
//
// With a rate ([Plan].Rate, an open loop) each operation is due at a fixed time, whatever the store does, and its latency is
// measured from that time. If all clients are busy, the operation waits, and the wait is part of its latency, as it would be for a
// user. Such an operation is late. No operation is skipped: those that were due and could not be started are counted. Without a
// rate (a closed loop) each client starts its next operation when the last one has ended, and measures the latency from its start.
package load

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Plan describes a load.
type Plan struct {
	Keys Keys
	// Zipf skews the choice of keys: the n-th most popular is chosen as often as 1/n^Zipf. 0 chooses all equally.
	Zipf float64
	// Reads is the percentage of operations that are reads; the others are writes.
	Reads float64
	// ValueSize is the length of a written value. No two values are equal.
	ValueSize int
	// Clients is the number of operations in flight at each target.
	Clients int
	// Rate is the number of operations per second, for all targets together and evenly spaced. 0 is a closed loop.
	Rate float64
	// Warmup precedes Duration and is not measured. Operations that wait for a client when it ends are left out: they were due in it.
	Warmup, Duration time.Duration
	// Consistency is the consistency of reads, for the report only.
	Consistency string
	// Seed determines the keys and operations. 0 is a random seed.
	Seed uint64
}

// Target is an endpoint of the load. Its functions are called by many goroutines, and must return when their context ends.
type Target struct {
	// Endpoint and Node name the target in the report.
	Endpoint string
	Node     api.NodeID
	// Read reads a key. [api.CodeNotFound] means that it is absent, and counts as an answer.
	Read func(ctx context.Context, k api.Key) (api.ServedBy, error)
	// Write writes a value. It must not use the value after it has returned.
	Write func(ctx context.Context, k api.Key, value []byte) error
}

// Phase is the phase of a run.
type Phase string

// The phases, in order.
const (
	Warming   Phase = "warming up"
	Measuring Phase = "measuring"
	Finishing Phase = "finishing" // operations in flight end; none is started
)

// Reading is the state of a run: results since the last reading, but Failed and Late since the measurement began.
type Reading struct {
	Phase        Phase
	Elapsed      time.Duration // of Warmup and Duration together
	OpsPerSecond float64
	P50, P99     time.Duration
	Failed, Late int64
}
