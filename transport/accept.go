package transport

import (
	"container/list"
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
	// acceptAtOnce connections are accepted before everything else that is ready has its turn. Go runs what is ready in the order
	// in which it became so: else each of some thousand connections that come together would stand before the next heartbeat.
	// Those that wait have been let in by the system.
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

// conn is an accepted connection. It is counted among the unmatched, then at its lane, until it is closed.
type conn struct {
	net.Conn
	p     *Port
	since time.Time
	place *list.Element // among the unmatched; nil once matched; under the port's mutex

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

func (c *conn) Close() error {
	c.p.matched(c)
	c.mu.Lock()
	leave := c.leave
	c.closed, c.leave = true, nil
	c.mu.Unlock()
	if leave != nil {
		leave()
	}
	return c.Conn.Close()
}

// admit counts a new connection among the unmatched; nil if the port is closed. If there are too many, it closes the oldest.
func (p *Port) admit(c net.Conn) *conn {
	own := &conn{Conn: c, p: p, since: time.Now()}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	var oldest *conn
	if p.unmatched.Len() >= p.cfg.MaxUnmatched {
		oldest = p.unmatched.Remove(p.unmatched.Front()).(*conn)
		oldest.place = nil
	}
	own.place = p.unmatched.PushBack(own)
	p.mu.Unlock()
	if oldest != nil {
		_ = oldest.Conn.Close() // its goroutine sees that
	}
	return own
}

// matched removes a connection from the unmatched.
func (p *Port) matched(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.place != nil {
		p.unmatched.Remove(c.place)
		c.place = nil
	}
}

// Unmatched counts the connections that have not chosen a lane yet.
func (p *Port) Unmatched() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unmatched.Len()
}

// dropUnmatched closes the connections that have not chosen a lane; their goroutines see that.
func (p *Port) dropUnmatched() {
	p.mu.Lock()
	var all []*conn
	for e := p.unmatched.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*conn))
	}
	p.mu.Unlock()
	for _, c := range all {
		_ = c.Conn.Close()
	}
}
