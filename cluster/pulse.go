package cluster

import (
	"math"
	sched "runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// pulse tells whether this process has more to do than its processors can: whether what is ready to run waits long for
// one. Raft's heartbeats and the keep-alives of leases wait in the same queue as requests, so that then requests are what
// must give way. Safe for concurrent use; nothing runs unless it is asked.
type pulse struct {
	now   func() time.Time
	waits func() *sched.Float64Histogram // how long what was ready to run has waited so far; nil: unknown

	busy atomic.Bool
	next atomic.Int64 // when to look again, in Unix nanoseconds

	mu   sync.Mutex
	seen time.Time // guarded by mu: when it looked last
	last []uint64  // guarded by mu: how many had waited how long by then
}

const (
	// pulseEvery is how long an answer stands.
	pulseEvery = 10 * time.Millisecond
	// pulseStale is how old a look may be to be compared with.
	pulseStale = 250 * time.Millisecond
	// pulseLimit is what a tenth of all waits may exceed before the process is busy: a heartbeat has several of them in its
	// way, and half a second (replica.RegionTiming).
	pulseLimit = 25 * time.Millisecond
)

func newPulse() *pulse {
	return &pulse{now: time.Now, waits: schedulerWaits}
}

func schedulerWaits() *sched.Float64Histogram {
	s := []sched.Sample{{Name: "/sched/latencies:seconds"}}
	sched.Read(s)
	if s[0].Value.Kind() != sched.KindFloat64Histogram {
		return nil // this runtime does not say
	}
	return s[0].Value.Float64Histogram()
}

// Busy tells how it is, as of a few milliseconds ago. It does not block.
func (p *pulse) Busy() bool {
	now := p.now()
	if at := p.next.Load(); now.UnixNano() >= at && p.next.CompareAndSwap(at, now.Add(pulseEvery).UnixNano()) {
		p.look(now)
	}
	return p.busy.Load()
}

// look compares what has waited so far with the last look.
func (p *pulse) look(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.waits()
	if h == nil {
		return
	}
	known := len(p.last) == len(h.Counts) && now.Sub(p.seen) <= pulseStale
	p.busy.Store(known && late(h, p.last))
	p.seen, p.last = now, append(p.last[:0], h.Counts...)
}

// late tells whether more than a tenth of what is new in h has waited for longer than the limit.
func late(h *sched.Float64Histogram, before []uint64) bool {
	var all, over uint64
	for i, n := range h.Counts {
		n -= before[i]
		all += n
		if from := h.Buckets[i]; !math.IsInf(from, -1) && from >= pulseLimit.Seconds() {
			over += n
		}
	}
	return over*10 > all
}
