package admission

import (
	"sync"
	"time"
)

// Limiter finds out how many requests at once a server can take, as TCP finds out about a network: if the server refuses for
// load, a quarter fewer; if it serves, a few more. Requests beyond that are held back or refused by the sender, since
// to carry one there and back costs nearly as much as to carry it out, and helps no client.
//
// As in a [Room], what waits for something slow holds no place of what is fast: a request that has been under way for SlowAfter
// counts against Most alone.
//
// It is not safe for concurrent use: its owner's mutex guards it.
type Limiter struct {
	// Least requests may always be under way: a limit that is too low to be a load is never learned from. Most is the limit of
	// a server that has refused nothing.
	Least, Most int
	// RaiseAfter requests that are served raise the limit by one. 0: as many as the limit is.
	RaiseAfter int
	// SlowAfter is how long a request may be under way before it counts as slow. 0: none is slow.
	SlowAfter time.Duration

	fast    share // what is under way and not slow
	slow    int
	lowered int // by how much the limit is below Most
	served  int // since the limit rose
	last    time.Time
}

// Limit is how many requests may be under way.
func (l *Limiter) Limit() int { return l.Most - l.lowered }

// Inside is how many are, the slow ones aside.
func (l *Limiter) Inside() int { return l.fast.inside }

// Open reports whether the server has not refused anything that still counts.
func (l *Limiter) Open() bool { return l.lowered == 0 }

// Full reports whether a further request would be one too many, with so many that are on their way to begin.
func (l *Limiter) Full(now time.Time, coming int) bool {
	if l.fast.inside+coming >= l.Limit() && l.SlowAfter > 0 {
		for t := l.fast.oldest; t != nil && now.Sub(t.since) >= l.SlowAfter; t = l.fast.oldest {
			l.fast.remove(t)
			t.slow = true
			l.slow++
		}
	}
	return l.fast.inside+coming >= l.Limit() || l.fast.inside+l.slow+coming >= l.Most
}

// places are the tickets of limiters that none has now.
var places = sync.Pool{New: func() any { return new(Ticket) }}

// Begin counts a request as under way, until End.
func (l *Limiter) Begin(now time.Time) *Ticket {
	t := places.Get().(*Ticket)
	t.since = now
	l.fast.add(t)
	return t
}

// End is Begin's end. The ticket is not used any more.
func (l *Limiter) End(t *Ticket) {
	if t.slow {
		l.slow--
	} else {
		l.fast.remove(t)
	}
	*t = Ticket{}
	places.Put(t)
}

// Start sets the limit of a server that has just refused a request, while so many were under way that were not counted here.
func (l *Limiter) Start(under int, now time.Time) {
	l.last = now
	l.lowered = l.Most - min(l.Most, max(l.Least, under*3/4))
}

// Served takes note that the server has served a request.
func (l *Limiter) Served() {
	if l.Open() {
		return
	}
	after := l.RaiseAfter
	if after == 0 {
		after = l.Limit()
	}
	if l.served++; l.served >= after {
		l.served = 0
		l.lowered--
	}
}

// Refused takes note that the server has refused, for load, a request that was sent then. Many refusals report one and the
// same moment: those of requests that were sent before the limit was lowered say nothing new.
func (l *Limiter) Refused(sent, now time.Time) {
	if !sent.After(l.last) {
		return
	}
	l.last, l.served = now, 0
	l.lowered = l.Most - max(l.Least, min(l.Limit(), max(l.fast.inside, 1))*3/4)
}

// Calm reports whether the limit was lowered so long ago that it need not be remembered.
func (l *Limiter) Calm(now time.Time, after time.Duration) bool { return now.Sub(l.last) >= after }
