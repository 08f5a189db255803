package load

import (
	"context"
	"sync/atomic"
	"time"
)

// pace schedules the operations of one target: one in each period, the first after offset. Operations that are due and not started
// form a queue, of which only the length is stored.
type pace struct {
	start          time.Time
	offset, period float64 // nanoseconds
	next           atomic.Int64
}

// grain is the tolerance of a timer. A delay up to it is not part of a latency.
const grain = time.Millisecond

// newPace returns the pace of target i of n, which share the rate evenly, one after the other.
func newPace(start time.Time, rate float64, i, n int) *pace {
	interval := float64(time.Second) / rate
	return &pace{start: start, offset: interval * float64(i), period: interval * float64(n)}
}

// due returns the time of operation k, counted from 0.
func (p *pace) due(k int64) time.Time {
	return p.start.Add(time.Duration(p.offset + p.period*float64(k)))
}

// wait takes the next operation and waits until it is due. late reports whether it was due already, because every client was busy.
// Its latency is measured from from: that is when it was due, or if the client has waited for that, when its timer fired, but at
// most a grain later. ok is false if ctx ends first.
func (p *pace) wait(ctx context.Context) (due, from time.Time, late, ok bool) {
	due = p.due(p.next.Add(1) - 1)
	left := time.Until(due)
	if left <= 0 {
		return due, due, left < 0, true
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return due, due, false, false
	}
	from = time.Now()
	if latest := due.Add(grain); from.After(latest) {
		from = latest
	}
	return due, from, false, true
}

// skip drops the operations before k that no client has taken.
func (p *pace) skip(k int64) {
	for n := p.next.Load(); n < k && !p.next.CompareAndSwap(n, k); {
		n = p.next.Load()
	}
}

// before returns the number of operations that are due before t.
func (p *pace) before(t time.Time) int64 {
	k := max(0, int64((float64(t.Sub(p.start))-p.offset)/p.period))
	for p.due(k).Before(t) {
		k++
	}
	for k > 0 && !p.due(k-1).Before(t) {
		k--
	}
	return k
}
