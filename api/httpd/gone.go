package httpd

import "net/http"

// While a handler runs, net/http reads one byte ahead in a goroutine of its own: where the client goes away, the request's
// context ends. A handler that answers from memory has mostly returned before that goroutine runs. Then nobody wants to
// know any more, yet it would make its system call, wait for the network, be told to stop, and be waited for, each with
// threads that wake up: with few connections more work than the request. So the read is over then, with nothing read.

// ended notes that the handler has returned. Where the request has a body, net/http may still read that.
func (c *conn) ended(r *http.Request) {
	if c != nil && r.Body == http.NoBody {
		c.done.Store(true)
	}
}

// nobodyAsks tells whether b is to be read ahead for a handler that has returned.
func (c *conn) nobodyAsks(b []byte) bool {
	return len(b) == 1 && c.done.Load() && !c.shared.Load()
}
