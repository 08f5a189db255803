package leasecache

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// groupTime is what a group's leader last said of the group's time. It is never changed, only replaced.
type groupTime struct {
	now  uint64            // in milliseconds of the group's time
	sent words.ClockSample // when the question was sent; the leader read now after that
}

// tells notes the group's time as its leader answered it to a question sent at the sample. A late answer changes nothing.
// An answer without a time is of a group that keeps none.
func (g *group) tells(now uint64, sent words.ClockSample) {
	if now == 0 {
		return
	}
	told := &groupTime{now: now, sent: sent}
	for {
		old := g.time.Load()
		if old != nil && sent.HolderElapsed(old.sent) <= 0 || g.time.CompareAndSwap(old, told) {
			return
		}
	}
}

// left returns how long a key with the deadline may still be served from the sample on: at most until the leader may have expired it,
// however fast the leader's clock is within its bounds. It is not positive if the key may not be served, or the time is not known.
func (g *group) left(deadline uint64, t words.ClockSample) time.Duration {
	told := g.time.Load()
	if told == nil || deadline <= told.now {
		return 0
	}
	ms := min(deadline-told.now, uint64(2*api.MaxTTL/time.Millisecond)) // a later one is as good, and does not overflow
	return time.Duration(ms)*time.Millisecond - t.HolderElapsed(told.sent)
}

// overdue reports whether the entry's deadline may have passed at the sample. An overdue entry answers no read, not even a stale one:
// the owner is asked. What the log does to the key is not known here, and if it was touched, the owner's answer says so.
func (e *entry) overdue(t words.ClockSample) bool {
	d := e.deadline.Load()
	return d != 0 && guardHolderDeadline && e.session.group.left(d, t) <= 0
}

// touched takes over the later deadline of the same version, as the entry's group has answered it.
func (e *entry) touched(deadline uint64) {
	for {
		old := e.deadline.Load()
		if old == 0 || deadline <= old || e.deadline.CompareAndSwap(old, deadline) {
			return
		}
	}
}

// ttl returns what is left at the sample of the time to live of an entry that is served, at least a millisecond, or 0 if it has no
// deadline.
func (e *entry) ttl(t words.ClockSample) time.Duration {
	d := e.deadline.Load()
	if d == 0 {
		return 0
	}
	return max(e.session.group.left(d, t), time.Millisecond)
}
