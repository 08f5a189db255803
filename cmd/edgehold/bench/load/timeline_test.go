package load

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestTimeline checks that the points cover the measured time and count all operations that ended in it.
func TestTimeline(t *testing.T) {
	if testing.Short() {
		t.Skip("for rates")
	}
	for _, c := range []struct {
		duration time.Duration
		points   int
	}{{100 * time.Millisecond, 1}, {time.Second, 4}, {1100 * time.Millisecond, 4}, {1130 * time.Millisecond, 5}, {10 * time.Second, 40}, {time.Minute, 240}, {61 * time.Second, 122}, {20 * time.Minute, 240}} {
		synctest.Test(t, func(t *testing.T) {
			p := plan()
			p.Duration, p.Warmup = c.duration, 99*time.Millisecond
			r := Run(t.Context(), p, []Target{always(10 * time.Millisecond)}, quiet)
			var reads int64
			at := 0.0
			for _, point := range r.Timeline {
				if point.At < at-1e-6 || point.At > at+1e-6 {
					t.Errorf("%v: a part begins at %v, the last one ended at %v", c.duration, point.At, at)
				}
				at += point.Seconds
				reads += point.Reads
				if point.P50 < 9.9 || point.P99 > 10.1 || point.Writes+point.Failed != 0 {
					t.Errorf("%v: %+v", c.duration, point)
				}
			}
			count := r.Operations[0].Count
			if n := len(r.Timeline); n != c.points || at < r.Seconds-1e-6 || at > r.Seconds+1e-6 || reads < count-1 || reads > count+1 {
				t.Errorf("%v: %d parts, want %d; %v s; %d reads of %d", c.duration, n, c.points, at, reads, count)
			}
		})
	}
}

func TestReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []Reading
		p := plan()
		p.Warmup, p.Rate = 500*time.Millisecond, 1000
		Run(t.Context(), p, []Target{always(2 * time.Millisecond)}, func(r Reading) { all = append(all, r) })
		seen := map[Phase]int{}
		for _, r := range all {
			seen[r.Phase]++
			if r.OpsPerSecond < 480 || r.OpsPerSecond > 520 || r.P99 < r.P50 || r.P50 == 0 || r.Phase == Warming && r.Late > 0 {
				t.Errorf("%+v", r)
			}
		}
		if seen[Warming] != 2 || seen[Measuring] != 4 || all[len(all)-1].Late < 490 {
			t.Errorf("%v, %+v", seen, all[len(all)-1])
		}
		all = nil
		p.Warmup, p.Rate = 0, 0
		Run(t.Context(), p, []Target{always(1999 * time.Millisecond)}, func(r Reading) { all = append(all, r) })
		if last := all[len(all)-1]; last.Phase != Finishing || last.OpsPerSecond != 0 {
			t.Errorf("%+v", last)
		}
	})
}
