package load

import "time"

// Point counts the operations that ended in a part of the measured time.
type Point struct {
	At      float64 `json:"at_seconds"` // beginning of the part, since the beginning of the measured time
	Seconds float64 `json:"seconds"`    // length of the part
	Reads   int64   `json:"reads"`      // answered
	Writes  int64   `json:"writes"`
	Failed  int64   `json:"failed"`
	P50     float64 `json:"p50_ms"` // of all that were answered; 0 if none was
	P99     float64 `json:"p99_ms"`
}

const (
	// lookEvery is the interval between two looks at a run.
	lookEvery = 250 * time.Millisecond
	// maxPoints is the maximum length of a timeline.
	maxPoints = 240
)

// sampler looks at a run at intervals, for the caller's watch function and for the timeline.
type sampler struct {
	run   *run
	watch func(Reading)
	width time.Duration // of a point

	phase    Phase
	now, sum moment    // since the last look; of the next point
	looked   time.Time // the last look
	pointed  time.Time // where the next point begins
	failed   int64
	timeline []Point
}

func newSampler(r *run, watch func(Reading)) *sampler {
	width := max(lookEvery, (r.plan.Duration+maxPoints*lookEvery-1).Truncate(maxPoints*lookEvery)/maxPoints)
	s := &sampler{run: r, watch: watch, width: width, phase: Measuring, now: newMoment(), sum: newMoment(), looked: r.start, pointed: r.from}
	if r.plan.Warmup > 0 {
		s.phase = Warming
	}
	return s
}

// follow looks until all clients are idle, and returns the end of the measured time. over is closed when no more operations are
// started, which may be before the planned end.
func (s *sampler) follow(over, idle <-chan struct{}) (ended time.Time) {
	timer := time.NewTimer(s.pause())
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			s.look(time.Now())
			timer.Reset(s.pause())
			continue
		case <-over:
		case <-idle: // over is closed too
		}
		if s.phase != Finishing {
			ended = time.Now()
			if ended.After(s.run.until) {
				ended = s.run.until
			}
			s.finish(ended)
			over = nil
			continue
		}
		return ended
	}
}

// pause returns the time until the next look. One look is at the end of the warm-up.
func (s *sampler) pause() time.Duration {
	if left := time.Until(s.run.from); s.phase == Warming && left < lookEvery {
		return max(0, left)
	}
	return lookEvery
}

// look takes the operations that have ended since the last look.
func (s *sampler) look(at time.Time) {
	reading := Reading{Phase: s.phase, Elapsed: at.Sub(s.run.start)}
	s.now.clear()
	for _, t := range s.run.targets {
		reading.Late += t.look(&s.now)
	}
	s.emit(reading, at.Sub(s.looked))
	s.looked = at
	switch {
	case s.phase == Measuring:
		s.now.moveInto(&s.sum)
		if at.Sub(s.pointed) > s.width-lookEvery/2 {
			s.point(at)
		}
	case s.phase == Warming && !at.Before(s.run.from):
		s.phase = Measuring
	}
}

// finish ends the timeline.
func (s *sampler) finish(ended time.Time) {
	s.look(ended)
	switch rest := ended.Sub(s.pointed); {
	case s.phase != Measuring || rest <= 0:
	case rest < lookEvery/2 && len(s.timeline) > 0: // too short for a point of its own
		last := &s.timeline[len(s.timeline)-1]
		last.Seconds += rest.Seconds()
		last.Reads += s.sum.answered[read]
		last.Writes += s.sum.answered[write]
		last.Failed += s.sum.failed
	default:
		s.point(ended)
	}
	s.phase = Finishing
}

// point ends a part of the timeline.
func (s *sampler) point(at time.Time) {
	s.timeline = append(s.timeline, Point{
		At: s.pointed.Sub(s.run.from).Seconds(), Seconds: at.Sub(s.pointed).Seconds(),
		Reads: s.sum.answered[read], Writes: s.sum.answered[write], Failed: s.sum.failed,
		P50: millis(quantile(s.sum.latencies, 50)), P99: millis(quantile(s.sum.latencies, 99)),
	})
	s.sum.clear()
	s.pointed = at
}

// emit completes the reading and passes it to watch.
func (s *sampler) emit(reading Reading, within time.Duration) {
	if s.phase != Warming {
		s.failed += s.now.failed
	}
	if within < lookEvery/2 {
		return // the last look was too recent for a rate
	}
	reading.Failed = s.failed
	reading.P50, reading.P99 = quantile(s.now.latencies, 50), quantile(s.now.latencies, 99)
	reading.OpsPerSecond = float64(s.now.latencies.TotalCount()) / within.Seconds()
	s.watch(reading)
}

// look moves what has ended since the last look into sum, and returns how many operations were late so far.
func (s *stats) look(sum *moment) (late int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moment.moveInto(sum)
	return s.late
}
