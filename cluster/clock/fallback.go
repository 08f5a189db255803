package clock

import (
	"time"

	"github.com/edgehold/edgehold/cluster/words"
)

// fallback is the pair on a system without the two clocks of Linux: the wall clock, and Go's monotonic clock.
type fallback struct {
	wall  func() time.Time
	since func() time.Duration // monotonic
	start time.Time
}

func newFallback(wall func() time.Time, since func() time.Duration) words.Clock {
	return fallback{wall: wall, since: since, start: wall().Round(0)}
}

// goClocks returns the fallback over Go's clocks.
func goClocks() words.Clock {
	start := time.Now()
	return newFallback(time.Now, func() time.Duration { return time.Since(start) })
}

func (f fallback) Now() words.ClockSample {
	return words.ClockSample{
		Boottime: f.wall().Round(0).Sub(f.start), // Round(0): without the monotonic reading
		Raw:      f.since(),
	}
}
