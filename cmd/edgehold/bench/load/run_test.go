package load

import (
	"context"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// slow returns a store whose operation number n takes took(n).
func slow(took func(n int64) time.Duration) Target {
	var started atomic.Int64
	do := func(ctx context.Context) error {
		timer := time.NewTimer(took(started.Add(1) - 1))
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return &api.Error{Code: api.CodeUnavailable, Err: ctx.Err()}
		}
	}
	return Target{
		Endpoint: "here",
		Read:     func(ctx context.Context, _ api.Key) (api.ServedBy, error) { return api.ServedByLease, do(ctx) },
		Write:    func(ctx context.Context, _ api.Key, _ []byte) error { return do(ctx) },
	}
}

func always(d time.Duration) Target { return slow(func(int64) time.Duration { return d }) }

func plan() Plan {
	return Plan{Keys: Keys{Prefix: "b/", Count: 10}, Reads: 100, Clients: 1, Duration: time.Second, Seed: 1}
}

// near reports whether got is want within the precision of the histogram.
func near(got, want float64) bool { return math.Abs(got-want) <= want/500 }

func quiet(Reading) {}

// TestOpenLoopCountsTheWait has a store that takes ten times as long as the rate allows. Operation n is due at 10n ms and begins at
// 100n ms; the wait is part of its latency.
func TestOpenLoopCountsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan()
		p.Rate = 100
		r := Run(t.Context(), p, []Target{always(100 * time.Millisecond)}, quiet)
		o := r.Operations[0]
		if o.Count != 10 || r.Late != 9 || r.NotStarted != 90 || o.Failed != 0 || r.Interrupted {
			t.Errorf("%d answered, %+v", o.Count, r.Shortfall)
		}
		if !near(o.Latency.Max, 910) || !near(o.Latency.P50, 460) || !near(o.Latency.Mean, 505) {
			t.Errorf("%+v", o.Latency)
		}
	})
}

// TestStall has a first operation that hangs for half of the time. The operations that were due meanwhile wait, and none is lost.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := slow(func(n int64) time.Duration {
			if n == 0 {
				return 500 * time.Millisecond
			}
			return 0
		})
		p := plan()
		p.Rate = 1000
		r := Run(t.Context(), p, []Target{hang}, quiet)
		o := r.Operations[0]
		if o.Count != 1000 || r.Late != 499 || r.NotStarted != 0 || o.OpsPerSecond != 1000 {
			t.Errorf("%d answered, %v/s, %+v", o.Count, o.OpsPerSecond, r.Shortfall)
		}
		if o.Latency.Max != 500 || !near(o.Latency.P90, 400) || !near(o.Latency.Mean, 125.25) {
			t.Errorf("%+v", o.Latency)
		}
		// A closed loop does not show it: one operation of very many was slow.
		hang = slow(func(n int64) time.Duration {
			if n == 0 {
				return 500 * time.Millisecond
			}
			return time.Millisecond
		})
		p.Rate = 0
		if o := Run(t.Context(), p, []Target{hang}, quiet).Operations[0]; !near(o.Latency.P90, 1) || o.Latency.Max != 500 {
			t.Errorf("closed: %+v", o.Latency)
		}
	})
}

// TestPunctual has a store that keeps up: no operation is late, and the latencies are those of the store.
func TestPunctual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan()
		p.Rate, p.Clients = 100, 2
		r := Run(t.Context(), p, []Target{always(9 * time.Millisecond)}, quiet)
		o := r.Operations[0]
		if o.Count != 100 || r.Shortfall != (Shortfall{}) || o.Latency.Mean != 9 || o.Latency.Max != 9 || !near(o.Latency.P999, 9) {
			t.Errorf("%d answered, %+v, %+v", o.Count, r.Shortfall, o.Latency)
		}
	})
}

// TestWarmupLeavesNothing checks that the backlog of the warm-up does not delay the measured operations.
func TestWarmupLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cold := time.Now().Add(time.Second)
		p := plan()
		p.Rate, p.Warmup = 100, time.Second
		r := Run(t.Context(), p, []Target{slow(func(int64) time.Duration {
			if time.Now().Before(cold) {
				return 95 * time.Millisecond
			}
			return 5 * time.Millisecond
		})}, quiet)
		// The last cold operation ends at 1045 ms; five were due since 1000 ms.
		if o := r.Operations[0]; o.Count != 100 || r.NotStarted != 0 || o.Latency.Max != 50 || r.Late > 10 {
			t.Errorf("%d answered, %+v, %+v", o.Count, o.Latency, r.Shortfall)
		}
	})
}

// TestTargetsAreApart checks that a target that hangs does not delay the operations of another.
func TestTargetsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan()
		p.Rate = 200
		there := always(400 * time.Millisecond)
		there.Endpoint, there.Node = "there", "there-1"
		r := Run(t.Context(), p, []Target{always(time.Millisecond), there}, quiet)
		a, b := r.Endpoints[0], r.Endpoints[1]
		if a.Operations[0].Count != 100 || a.Operations[0].Latency.Max != 1 || a.Shortfall != (Shortfall{}) {
			t.Errorf("%+v", a)
		}
		if b.Node != "there-1" || b.Operations[0].Count != 3 || b.NotStarted != 97 || b.Late != 2 {
			t.Errorf("%+v", b)
		}
		if r.Operations[0].Count != 103 || r.NotStarted != 97 || r.Late != 2 {
			t.Errorf("%+v", r)
		}
	})
}

func TestClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan()
		p.Clients, p.Warmup = 4, 300*time.Millisecond
		r := Run(t.Context(), p, []Target{always(10 * time.Millisecond)}, quiet)
		o := r.Operations[0]
		if o.Count != 400 || o.OpsPerSecond < 396 || o.OpsPerSecond > 404 || !near(o.Latency.P99, 10) || o.ServedBy.Lease != 400 || r.Seconds != 1 {
			t.Errorf("%+v, %v s", o, r.Seconds)
		}
	})
}

// TestInterrupted checks that the results so far are reported, and that operations in flight are counted as cut off.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(955*time.Millisecond, cancel)
		p := plan()
		p.Duration, p.Clients = time.Hour, 3
		r := Run(ctx, p, []Target{always(10 * time.Millisecond)}, quiet)
		o := r.Operations[0]
		if !r.Interrupted || r.Seconds != 0.955 || o.Count != 285 || r.CutOff != 3 || o.Failed != 0 {
			t.Errorf("%+v", r)
		}
		p.Warmup = time.Minute
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r := Run(ctx, p, []Target{always(10 * time.Millisecond)}, quiet); !r.Interrupted || r.Seconds != 0 || r.Operations[0].Count != 0 || r.Operations[0].OpsPerSecond != 0 {
			t.Errorf("while warming up: %+v", r)
		}
	})
}

// TestOutcomes checks how each outcome of an operation is counted.
func TestOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		target := Target{
			Read: func(context.Context, api.Key) (api.ServedBy, error) {
				time.Sleep(time.Millisecond)
				switch n.Add(1) % 4 {
				case 0:
					return api.ServedByStale, nil
				case 1:
					return api.ServedByLease, &api.Error{Code: api.CodeNotFound}
				case 2:
					return 0, api.Errorf(api.CodeUnavailable, "not now")
				}
				return api.ServedByOwner, nil
			},
			Write: func(_ context.Context, _ api.Key, value []byte) error {
				time.Sleep(3 * time.Millisecond)
				if len(value) != 20 {
					t.Errorf("a value of %d bytes", len(value))
				}
				return api.Errorf(api.CodeAmbiguous, "it may have been")
			},
		}
		p := plan()
		p.Reads, p.ValueSize = 50, 20
		r := Run(t.Context(), p, []Target{target}, quiet)
		reads, writes := r.Operations[0], r.Operations[1]
		if by := reads.ServedBy; by.Lease != reads.Absent || by.Lease+by.Owner+by.Stale != reads.Count || by.Stale == 0 || by.Owner == 0 {
			t.Errorf("%+v of %d, %d absent", by, reads.Count, reads.Absent)
		}
		if len(reads.Errors) != 1 || reads.Errors[0].Code != api.CodeUnavailable || reads.Errors[0].Mean != 1 || reads.Failed != reads.Errors[0].Count {
			t.Errorf("%+v", reads.Errors)
		}
		if e := writes.Errors; writes.Count != 0 || len(e) != 1 || e[0].Code != api.CodeAmbiguous || e[0].Max != 3 || writes.ServedBy != nil || r.Err() != nil {
			t.Errorf("%+v", writes)
		}
		p.Reads = 0
		if r := Run(t.Context(), p, []Target{target}, quiet); api.CodeOf(r.Err()) != api.CodeAmbiguous || len(r.Operations) != 1 {
			t.Errorf("%v", r.Err())
		}
	})
}
