package resp

import (
	"time"

	"github.com/edgehold/edgehold/api"
)

const (
	// freeAnswer is how large an answer may be that is not counted.
	freeAnswer = freeBuffer
	// slowAfter is how long a client has to accept an answer before its connection may be closed for the answer of another one.
	slowAfter = time.Second
)

// reserve takes the memory for an answer of so many bytes, which replaces the one that the connection had any for. If there is none, the
// connection is closed whose client has let an answer wait for the longest time, of a principal that has at least as much. The error says
// that there is still none.
func (c *conn) reserve(size int64) error {
	if size <= freeAnswer {
		return nil
	}
	c.unread.empty()
	c.holds = true
	for !c.unread.take(size) {
		if !c.server.closeSlow(c.unread.ofAll()) {
			return notLetIn{errAnswerRoom}
		}
	}
	return nil
}

// hold is reserve for an answer that is written next.
func (c *conn) hold(size int64) error {
	err := c.reserve(size)
	if err == nil {
		c.handOver()
	}
	return err
}

// handOver says that the answer that has been reserved for is written next: from here on its client may be slow.
func (c *conn) handOver() {
	if c.holds {
		c.accepting.Store(time.Now().UnixNano())
	}
}

// release gives back the memory for an answer: the client has accepted it, but for what fits the connection's buffers.
func (c *conn) release() {
	c.holds = false
	c.accepting.Store(0)
	c.unread.empty()
}

// closeSlow closes the connection whose client has let an answer wait for the longest time, of those whose principals have at least so
// many bytes of answers. It returns false if none has for long enough.
func (s *Server) closeSlow(least int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var slowest *conn
	var since int64
	for k := range s.conns {
		if at := k.accepting.Load(); at != 0 && (slowest == nil || at < since) && k.unread.ofAll() >= least {
			slowest, since = k, at
		}
	}
	if slowest == nil || time.Since(time.Unix(0, since)) < slowAfter {
		return false
	}
	slowest.accepting.Store(0)
	_ = slowest.Conn.Close() // its goroutine sees that, and lets go of the answer
	slowest.unread.empty()
	return true
}

// errAnswerRoom is the refusal of a command whose answer finds no memory. It is shared and must not be changed.
var errAnswerRoom = &api.Error{Code: api.CodeUnavailable, Hint: "answers that clients have not accepted fill the memory for them"}

// holdDone is hold for the answer of what has been carried out.
func (c *conn) holdDone(size int64) error {
	if c.hold(size) != nil {
		return errLostAnswer
	}
	return nil
}

// shown returns the bytes of the values that the answer shows, of which the first entries are the action's, and the other entries.
func (a *action) shown(es []api.Entry) (size int64, rest []api.Entry) {
	n := a.entries()
	if !a.brief {
		size = valueBytes(es[:n])
	}
	return size, es[n:]
}

// shownAll is shown if all entries are the action's.
func (a *action) shownAll(es []api.Entry) int64 {
	if a.brief {
		return 0
	}
	return valueBytes(es)
}

// shown returns the bytes of the values that the answers of a run show.
func shown(run []entry, es []api.Entry) (size int64) {
	for i := range run {
		if x := &run[i]; x.err == nil {
			var n int64
			n, es = x.action.shown(es)
			size += n
		}
	}
	return size
}

// valueBytes returns the bytes of the values.
func valueBytes(es []api.Entry) (n int64) {
	for i := range es {
		n += int64(len(es[i].Value))
	}
	return n
}
