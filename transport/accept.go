package transport

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/soheilhy/cmux"
)

// root is the listener under cmux: it bounds the connections that have not chosen a lane, and how many come at once. It belongs
// to the one goroutine that accepts.
type root struct {
	p        *Port
	accepted int
}

func (r *root) Addr() net.Addr { return r.p.cfg.Listener.Addr() }
func (r *root) Close() error   { return r.p.cfg.Listener.Close() }

const (
	acceptPause    = 5 * time.Millisecond
	maxAcceptPause = time.Second
	// acceptAtOnce is how many connections are accepted before the other goroutines that are ready run. Go runs goroutines in the
	// order in which they became ready: without this bound, a thousand connections that come together would all be accepted before
	// the next heartbeat is sent. The system has accepted those that wait already.
	acceptAtOnce = 32
)

// Accept returns the next connection. It outlives every error but the listener's end, such as a want of descriptors, with
// a pause that grows.
func (r *root) Accept() (net.Conn, error) {
	if r.accepted++; r.accepted%acceptAtOnce == 0 {
		runtime.Gosched()
	}
	pause := acceptPause
	for {
		c, err := r.p.cfg.Listener.Accept()
		switch {
		case err == nil:
			if own := r.p.admit(c); own != nil {
				return own, nil
			}
			_ = c.Close()
		case errors.Is(err, net.ErrClosed):
			return nil, net.ErrClosed
		default:
			r.p.cfg.Logger.Warn("cannot accept connections; trying again", "error", err, "again_in", pause)
			if !r.p.pause(pause) {
				return nil, net.ErrClosed
			}
			pause = min(2*pause, maxAcceptPause)
		}
	}
}

// pause waits; false if the port closes meanwhile.
func (p *Port) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}

// conn is an accepted connection. It is counted among the unmatched, then at its lane, until it is closed. Its Read and Write are
// those of TLS, if there is any; what is embedded is the socket.
type conn struct {
	net.Conn
	p     *Port
	since time.Time // when its time to name a lane began; of the goroutine that reads until it has a lane

	place  *list.Element // among the unmatched of its source; nil once matched; under the port's mutex
	source *source       // likewise

	// These are set by the goroutine that reads before the connection has a lane.
	below  socket
	stream net.Conn  // what is read and written; nil before the first byte
	failed error     // why there is none
	tls    *tls.Conn // nil: there is no TLS
	via    via

	mu     sync.Mutex
	closed bool
	leave  func() // ends its being counted at its lane
}

// accepted returns the connection that cmux has wrapped.
func accepted(c net.Conn) *conn { return c.(*cmux.MuxConn).Conn.(*conn) }

// sorted is a connection as its lane's Accept returns it.
type sorted struct {
	*cmux.MuxConn
	under net.Conn
	peer  any // what Config.Identify has returned
}

// NetConn returns the accepted connection, for its socket. Bytes that are read from it are missing at the lane's connection.
func (s sorted) NetConn() net.Conn { return s.under }

// NetConn returns the socket.
func (c *conn) NetConn() net.Conn { return c.Conn }

func (c *conn) Read(b []byte) (int, error) {
	if c.stream == nil {
		if c.failed == nil {
			c.failed = c.begin()
		}
		if c.failed != nil {
			return 0, c.failed
		}
	}
	return c.stream.Read(b)
}

func (c *conn) Write(b []byte) (int, error) { return c.stream.Write(b) }

// Close ends TLS too, if the connection has a lane.
func (c *conn) Close() error {
	leave := c.end()
	if leave != nil && c.tls != nil {
		return c.below.closeTLS(c.tls)
	}
	return c.Conn.Close()
}

// cut closes the socket, and waits for nothing.
func (c *conn) cut() {
	c.end()
	_ = c.Conn.Close() // the connection is broken in any case
}

// end removes the connection from the counts. It returns what was left to be done for its lane, if it had one; it has been done.
func (c *conn) end() (leave func()) {
	c.p.matched(c)
	c.p.cfg.Links.drop(c)
	c.mu.Lock()
	leave = c.leave
	c.closed, c.leave = true, nil
	c.mu.Unlock()
	if leave != nil {
		leave()
	}
	return leave
}

// admit counts a new connection among the unmatched; nil if the port is closed.
func (p *Port) admit(c net.Conn) *conn {
	own := &conn{Conn: c, p: p, since: time.Now(), below: socket{Conn: c}}
	own.below.of = own
	if p.cfg.Secure == nil {
		own.stream = c
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	over := p.unmatched.add(own, p.cfg.MaxUnmatched)
	p.mu.Unlock()
	if over != nil {
		_ = over.Conn.Close() // its goroutine sees that
	}
	_ = c.SetDeadline(own.since.Add(p.cfg.Preface)) // without deadlines, the bound on the unmatched holds
	return own
}

// matched removes a connection from the unmatched.
func (p *Port) matched(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unmatched.remove(c)
}

// Unmatched counts the connections that have not chosen a lane yet.
func (p *Port) Unmatched() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unmatched.n
}

// dropUnmatched closes the connections that have not chosen a lane; their goroutines see that.
func (p *Port) dropUnmatched() {
	p.mu.Lock()
	all := p.unmatched.all()
	p.mu.Unlock()
	for _, c := range all {
		_ = c.Conn.Close()
	}
}
