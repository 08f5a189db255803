package cluster

import (
	"math"
	sched "runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// schedLatency reports whether the process is overloaded: whether goroutines that are ready to run wait long for a processor. Raft's
// heartbeats and the keep-alives of leases wait in the same queue as requests, so requests are refused then. Safe for concurrent use; nothing runs unless it is asked.
type schedLatency struct {
	now   func() time.Time
	waits func() *sched.Float64Histogram // how long goroutines that were ready to run have waited so far; nil: unknown

	busy atomic.Bool
	next atomic.Int64 // when to look again, in Unix nanoseconds

	mu   sync.Mutex
	seen time.Time // guarded by mu: when it looked last
	last []uint64  // guarded by mu: how many had waited how long by then
}

const (
	// schedEvery is how long an answer stands.
	schedEvery = 10 * time.Millisecond
	// schedStale is how old a look may be to be compared with.
	schedStale = 250 * time.Millisecond
	// schedLimit is what a tenth of all waits may exceed before the process is busy: a heartbeat has several of them in its
	// way, and half a second (replica.RegionTiming).
	schedLimit = 25 * time.Millisecond
)

func newSchedLatency() *schedLatency {
	return &schedLatency{now: time.Now, waits: schedulerWaits}
}

func schedulerWaits() *sched.Float64Histogram {
	s := []sched.Sample{{Name: "/sched/latencies:seconds"}}
	sched.Read(s)
	if s[0].Value.Kind() != sched.KindFloat64Histogram {
		return nil // this runtime does not report it
	}
	return s[0].Value.Float64Histogram()
}

// Busy reports whether the process is overloaded, as of a few milliseconds ago. It does not block.
func (l *schedLatency) Busy() bool {
	now := l.now()
	if at := l.next.Load(); now.UnixNano() >= at && l.next.CompareAndSwap(at, now.Add(schedEvery).UnixNano()) {
		l.look(now)
	}
	return l.busy.Load()
}

// look compares the waits so far with those at the last look.
func (l *schedLatency) look(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.waits()
	if h == nil {
		return
	}
	known := len(l.last) == len(h.Counts) && now.Sub(l.seen) <= schedStale
	l.busy.Store(known && late(h, l.last))
	l.seen, l.last = now, append(l.last[:0], h.Counts...)
}

// late reports whether more than a tenth of what is new in h has waited for longer than the limit.
func late(h *sched.Float64Histogram, before []uint64) bool {
	var all, over uint64
	for i, n := range h.Counts {
		n -= before[i]
		all += n
		if from := h.Buckets[i]; !math.IsInf(from, -1) && from >= schedLimit.Seconds() {
			over += n
		}
	}
	return over*10 > all
}
