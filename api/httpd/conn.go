package httpd

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// A connection of [Server] is one that net/http reads and writes, and that knows what net/http does not: a refusal of
// net/http's own becomes a problem (unread.go), a value goes out with its headers in one piece (head.go), nothing is read
// ahead for nobody (gone.go), and who is refused for load is refused before net/http is troubled (doorstep.go), and rests
// (rest.go).

// listener makes each connection one of these.
type listener struct {
	net.Listener
	of *Server
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, of: l.of, stage: fresh}, nil
}

type conn struct {
	net.Conn
	of *Server
	// answering: what is written belongs to a handler's answer, whose bytes are nobody's to change. shared: so it is for
	// the rest of the connection's life, since the streams of HTTP/2 mix their answers, or the handler has taken it over.
	answering, shared atomic.Bool
	// done: the handler has returned, its answer is not complete; see gone.go.
	done atomic.Bool

	// What follows belongs to the one goroutine that answers requests of HTTP/1.1, and to what net/http has read for it; HTTP/2
	// uses no more of it than the first bytes that were read.

	// head and value are to be put in the answer that comes next; see head.go.
	head, value []byte
	away        away
	stage       stage
	unread      []byte // has been read and is not net/http's yet
}

// stage is how far net/http is with the next request; see doorstep.go.
type stage int

const (
	underWay stage = iota // it has, or may have, read some of it
	fresh                 // nothing was read from the connection
	idle                  // it is done with the request before
	waiting               // as it says by a deadline, until it sets another one
)

// Read reads for net/http: see doorstep.go for what begins a request, and gone.go.
func (c *conn) Read(b []byte) (int, error) {
	switch {
	case len(c.unread) > 0:
		n := copy(b, c.unread)
		if c.unread = c.unread[n:]; len(c.unread) == 0 {
			c.unread = nil
		}
		return n, nil
	case c.stage != underWay:
		return c.readStart(b)
	case c.nobodyAsks(b):
		return 0, nil
	}
	return c.Conn.Read(b)
}

// SetReadDeadline is called by net/http when it begins to wait for a request, and when that has begun.
func (c *conn) SetReadDeadline(t time.Time) error {
	switch c.stage {
	case idle:
		c.stage = waiting
	case waiting:
		c.stage = underWay
	}
	return c.Conn.SetReadDeadline(t)
}

// begun notes that a handler is about to answer the request, and returns the connection; nil for one of another kind.
func begun(r *http.Request) *conn {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if ok {
		if r.ProtoMajor > 1 {
			c.shared.Store(true)
		}
		c.answering.Store(true)
		if r.ProtoMajor == 1 {
			c.head, c.value = c.head[:0], nil
			c.rest() // of what came behind a refused request, net/http may have it already
			c.away.begun()
		}
	}
	return c
}

// observeState notes that an answer is complete, or the connection taken over by its handler.
func observeState(c net.Conn, s http.ConnState) {
	r, ok := c.(*conn)
	switch {
	case ok && s == http.StateIdle:
		r.done.Store(false)
		if r.answering.Swap(false) && !r.shared.Load() { // HTTP/2 is idle before its first request, too
			r.stage = idle
		}
	case ok && s == http.StateHijacked:
		r.shared.Store(true)
	}
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// Write passes b on, or the problem that stands for it.
func (c *conn) Write(b []byte) (int, error) {
	if c.hasHead(b) {
		return c.writeHead(b)
	}
	status, reason, ok := 0, "", false
	if !c.answering.Load() && !c.shared.Load() {
		status, reason, ok = plainRefusal(b)
	}
	if !ok {
		return c.Conn.Write(b)
	}
	if _, err := c.Conn.Write(c.problemFor(status, reason)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// NetConn is the connection under it, for its socket.
func (c *conn) NetConn() net.Conn { return c.Conn }

// CloseWrite lets net/http say that nothing follows a refusal, before it closes the connection.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
