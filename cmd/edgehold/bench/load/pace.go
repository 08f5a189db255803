package load

import (
	"context"
	"sync/atomic"
	"time"
)

// pace says when the operations of one target are due: one each period, for ever, the first after offset. Operations that
// are due and not started are a queue of which nothing but the number is kept, so it may grow without an end.
type pace struct {
	start          time.Time
	offset, period float64 // nanoseconds
	next           atomic.Int64
}

// grain is how late a timer may be without it being anybody's fault.
const grain = time.Millisecond

// newPace is that of target i of n, which share the rate evenly and take turns.
func newPace(start time.Time, rate float64, i, n int) *pace {
	turn := float64(time.Second) / rate
	return &pace{start: start, offset: turn * float64(i), period: turn * float64(n)}
}

// due is when operation k is, from 0.
func (p *pace) due(k int64) time.Time {
	return p.start.Add(time.Duration(p.offset + p.period*float64(k)))
}

// wait takes the next operation and waits until it is due. late: it was due already, because every client was busy.
// from is where its latency begins: the instant at which it was due, and where the client has waited for that, the instant
// at which its timer woke it, which is at most a grain later. ok is false where ctx ended first.
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

// skip leaves out those before operation k that nobody has taken.
func (p *pace) skip(k int64) {
	for n := p.next.Load(); n < k && !p.next.CompareAndSwap(n, k); {
		n = p.next.Load()
	}
}

// before is how many operations are due before t.
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
