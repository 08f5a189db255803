package httpd

import "time"

// To refuse a request costs a fifth of what it costs to carry one out (doorstep.go), and more where its handler is the one to
// do it: clients that come again at once, whatever they are told, could keep a node from everything else. So a connection of
// HTTP/1.1 on which a request was refused for load, and again well before the time that was told, rests: the refusal is sent
// at once, and tells to stay away for longer, but what comes next is not read for a while. One that is served, or waits as
// told, does not rest.

// stayAway is the least that is told: the header has whole seconds. Who waits as told waits at least half of it: a busy node
// sees only then that a request has come, not when it did.
const stayAway = time.Second

// restsOf is how long a connection rests that comes again too early once, and more often. Clients wait for five seconds, many of them.
var restsOf = [...]time.Duration{3 * time.Second, 4 * time.Second}

// away is what a connection knows of its refusals.
type away struct {
	now   bool      // the newest request was refused
	until time.Time // when to read on
	early time.Time // who comes before has not waited as told; zero where the last request was not refused
	rests int       // in a row
}

// begun notes that a request has come.
func (a *away) begun() {
	if !a.now {
		*a = away{}
	}
	a.now = false
}

// refused notes that the request that came at t is: level is how often in a row it came too early, as far as rests differ.
func (a *away) refused(t time.Time) (level int) {
	a.now = true
	if t.Before(a.early) {
		a.rests = min(a.rests+1, len(restsOf))
		a.until = t.Add(restsOf[a.rests-1])
	} else {
		a.rests, a.until = 0, t
	}
	a.early = a.until.Add(stayAway / 2)
	return a.rests
}

// rest returns when the connection is to be read again, or its server ends.
func (c *conn) rest() {
	if c.away.rests == 0 {
		return
	}
	d := time.Until(c.away.until)
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.of.draining.Done():
	}
}
