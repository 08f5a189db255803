package cluster

import (
	"sync"
	"time"

	"github.com/edgehold/edgehold/cluster/words"
)

// suspends notices that the machine was suspended. The time of the process stops then, so that what this node heard before looks
// younger than it is. It is safe for concurrent use.
type suspends struct {
	clock words.Clock // counts suspends

	mu       sync.Mutex
	process  time.Time     // the time of the process at the last look; zero before the first
	boottime time.Duration // the clock's
	ended    time.Time
}

// maxDrift is by how much the two clocks may differ from one look to the next without a suspend.
const maxDrift = 100 * time.Millisecond

// last returns an instant after the end of the last suspend: what was heard before it may be of any age. It is zero if there was no
// suspend since the first call. A suspend between two calls is noticed by the second one.
func (s *suspends) last() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	process, boottime := s.look()
	if !s.process.IsZero() && (boottime-s.boottime)-process.Sub(s.process) > maxDrift {
		s.ended = process
	}
	s.process, s.boottime = process, boottime
	return s.ended
}

// look reads both clocks at nearly the same time, if the machine is not too busy for that.
func (s *suspends) look() (process time.Time, boottime time.Duration) {
	for range 5 {
		process, boottime = time.Now(), s.clock.Now().Boottime
		if time.Since(process) < maxDrift/4 {
			break
		}
	}
	return process, boottime
}

// freshness turns the age of the roll, which the view counts by the time of this process, into one by a clock that counts suspends
// too.
type freshness struct {
	*suspends
	heard func(at, age time.Duration)
}

// look takes note of an age, unless it is from before a suspend.
func (f *freshness) look(age time.Duration, known bool) {
	ended := f.last()
	if known && time.Now().Add(-age).After(ended) {
		f.heard(f.clock.Now().Boottime, age)
	}
}
