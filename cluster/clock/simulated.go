package clock

import (
	"sync"
	"time"

	"github.com/edgehold/edgehold/cluster/words"
)

// Simulated is a pair of clocks over a base time that a test can disturb. Safe for concurrent use.
type Simulated struct {
	base func() time.Time

	mu        sync.Mutex
	boot, raw hand
	rate      float64 // of both
	slew      float64 // of BOOTTIME, on top
	stopped   bool
	suspended bool
}

var _ words.Clock = (*Simulated)(nil)

// hand is one clock: it showed value at the base time at, and has run at rate since.
type hand struct {
	at    time.Time
	value time.Duration
	rate  float64
}

func (h hand) read(now time.Time) time.Duration {
	return h.value + time.Duration(h.rate*float64(now.Sub(h.at)))
}

// NewSimulated returns a pair of clocks that run with base, such as time.Now in a synctest bubble, from an origin of their own.
func NewSimulated(base func() time.Time) *Simulated {
	now := base()
	return &Simulated{
		base: base, rate: 1, slew: 1,
		boot: hand{at: now, value: time.Hour, rate: 1},
		raw:  hand{at: now, value: time.Minute, rate: 1},
	}
}

// Now reads both clocks.
func (s *Simulated) Now() words.ClockSample {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.base()
	return words.ClockSample{Boottime: s.boot.read(now), Raw: s.raw.read(now)}
}

// SetRate makes both clocks run at a rate: 1.02 gains 20 ms a second. The protocol allows 1±[words.ClockRateError].
func (s *Simulated) SetRate(rate float64) { s.change(func() { s.rate = rate }) }

// Slew multiplies the rate of BOOTTIME, not of RAW, as a time daemon does. It adds to SetRate.
func (s *Simulated) Slew(rate float64) { s.change(func() { s.slew = rate }) }

// Jump moves both clocks by d at once.
func (s *Simulated) Jump(d time.Duration) {
	s.change(func() {
		s.boot.value += d
		s.raw.value += d
	})
}

// Stop stops both clocks while the process runs on, as a paused guest sees it.
func (s *Simulated) Stop() { s.change(func() { s.stopped = true }) }

// Suspend stops RAW. BOOTTIME moves on.
func (s *Simulated) Suspend() { s.change(func() { s.suspended = true }) }

// Resume undoes Stop and Suspend. The clocks continue from what they show.
func (s *Simulated) Resume() { s.change(func() { s.stopped, s.suspended = false, false }) }

// change applies f. Both clocks continue from what they show, at the new rates.
func (s *Simulated) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.base()
	s.boot = hand{at: now, value: s.boot.read(now)}
	s.raw = hand{at: now, value: s.raw.read(now)}
	f()
	if !s.stopped {
		s.boot.rate = s.rate * s.slew
		if !s.suspended {
			s.raw.rate = s.rate
		}
	}
}
