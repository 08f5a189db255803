package admission

import "time"

// Limiter finds out how many requests at once a server can take, as TCP finds out about a network: if the server refuses for
// load, a quarter fewer; if it serves, a few more. Requests beyond that are held back or refused by who would send them, since
// to carry one there and back costs nearly as much as to carry it out, and helps no client.
//
// It is not safe for concurrent use: its owner's mutex guards it.
type Limiter struct {
	// Least requests may always be under way: a limit that is too low to be a load is never learned from. Most is the limit of
	// a server that has refused nothing.
	Least, Most int
	// RaiseAfter requests that are served raise the limit by one. 0: as many as the limit is.
	RaiseAfter int

	inside  int
	lowered int // by how much the limit is below Most
	served  int // since the limit rose
	last    time.Time
}

// Limit is how many requests may be under way.
func (l *Limiter) Limit() int { return l.Most - l.lowered }

// Inside is how many are.
func (l *Limiter) Inside() int { return l.inside }

// Open reports whether the server has not refused anything that still counts.
func (l *Limiter) Open() bool { return l.lowered == 0 }

// Full reports whether so many further requests would be too many.
func (l *Limiter) Full(further int) bool { return l.inside+further >= l.Limit() && !l.Open() }

// Begin counts a request as under way, and End as over.
func (l *Limiter) Begin() { l.inside++ }

// End is Begin's end.
func (l *Limiter) End() { l.inside-- }

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

// Refused takes note that the server has refused, for load, a request that was sent then. Many refusals tell of one and the
// same moment: those of requests that were sent before the limit was lowered say nothing new.
func (l *Limiter) Refused(sent, now time.Time) {
	if !sent.After(l.last) {
		return
	}
	l.last, l.served = now, 0
	l.lowered = l.Most - max(l.Least, min(l.Limit(), max(l.inside, 1))*3/4)
}

// Calm reports whether the limit was lowered so long ago that it need not be remembered.
func (l *Limiter) Calm(now time.Time, after time.Duration) bool { return now.Sub(l.last) >= after }
