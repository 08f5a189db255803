package cluster

import (
	"math"
	sched "runtime/metrics"
	"slices"
	"testing"
	"time"
)

// TestSchedLatency: busy is when more than a tenth of what has become ready to run since the last look waited too long. What was
// before does not count, and a look of long ago is not compared with.
func TestSchedLatency(t *testing.T) {
	now := time.Now()
	counts := []uint64{0, 1_000_000, 0, 0}
	l := &schedLatency{now: func() time.Time { return now }, waits: func() *sched.Float64Histogram {
		return &sched.Float64Histogram{
			Buckets: []float64{math.Inf(-1), 0, schedLimit.Seconds(), 1, math.Inf(1)}, Counts: slices.Clone(counts),
		}
	}}
	for _, s := range []struct {
		what        string
		after       time.Duration
		quick, slow uint64
		busy        bool
	}{
		{"the first look has nothing to compare with", 0, 0, 500, false},
		{"nothing waits long", 20 * time.Millisecond, 100, 0, false},
		{"a tenth is not too many", 20 * time.Millisecond, 90, 10, false},
		{"more are", 20 * time.Millisecond, 89, 11, true},
		{"an answer stands for a while", time.Millisecond, 1000, 0, true},
		{"and is then over", 20 * time.Millisecond, 0, 0, false},
		{"all that there is", 20 * time.Millisecond, 0, 1, true},
		{"a look of long ago says nothing", time.Second, 0, 1000, false},
	} {
		now = now.Add(s.after)
		counts[1] += s.quick
		counts[2] += s.slow
		if got := l.Busy(); got != s.busy {
			t.Errorf("%s: busy is %v", s.what, got)
		}
	}
}

// TestSchedLatencyOfThisProcess: the runtime has the histogram that is read.
func TestSchedLatencyOfThisProcess(t *testing.T) {
	if h := schedulerWaits(); h == nil || len(h.Buckets) != len(h.Counts)+1 {
		t.Errorf("the runtime says %+v", h)
	}
}
