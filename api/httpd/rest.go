package httpd

import (
	"net/http"
	"time"
)

// To refuse a request costs a third of what it costs to carry one out: clients that come again at once, whatever they are
// told, could keep a node from everything else. So a connection of HTTP/1.1 on which a request was refused for load, and
// again well before the time that was told, rests: the refusal is sent at once, and tells to stay away for longer, but what
// comes next is not read for a while. One that is served, or waits as told, does not rest.

// stayAway is the least that is told: the header has whole seconds. Who waits as told waits at least half of it: a busy node
// sees only then that a request has come, not when it did.
const stayAway = time.Second

// restsOf is how long a connection rests that comes again too early once, and more often. Clients wait for five seconds, many of them.
var restsOf = [...]time.Duration{3 * time.Second, 4 * time.Second}

// away is what a connection knows of its refusals. It belongs to the goroutine that answers its requests.
type away struct {
	now   bool      // the newest request was refused
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
	var rest time.Duration
	if t.Before(a.early) {
		a.rests = min(a.rests+1, len(restsOf))
		rest = restsOf[a.rests-1]
	} else {
		a.rests = 0
	}
	a.early = t.Add(rest + stayAway/2)
	return a.rests
}

// connection is the one that the request came on, where it is one that can rest.
func (x *exchange) connection() *retellingConn {
	if x.r.ProtoMajor != 1 {
		return nil
	}
	c, _ := x.r.Context().Value(connKey{}).(*retellingConn)
	return c
}

// rest sends the refusal and returns when the connection is to be read again.
func (x *exchange) rest() {
	if err := http.NewResponseController(x.w).Flush(); err != nil {
		return // the client has gone
	}
	draining, _ := x.r.Context().Value(drainingKey{}).(<-chan struct{})
	t := time.NewTimer(restsOf[x.away-1])
	defer t.Stop()
	select {
	case <-t.C:
	case <-draining:
	case <-x.r.Context().Done():
	}
}
