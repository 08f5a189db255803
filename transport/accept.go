package transport

import (
	"net"
	"sync"

	"github.com/soheilhy/cmux"
)

// root is the listener under cmux: it bounds the connections that have not chosen a lane.
type root struct{ p *Port }

func (r root) Addr() net.Addr { return r.p.cfg.Listener.Addr() }
func (r root) Close() error   { return r.p.cfg.Listener.Close() }

func (r root) Accept() (net.Conn, error) {
	for {
		c, err := r.p.cfg.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if own := r.p.admit(c); own != nil {
			return own, nil
		}
		_ = c.Close()
	}
}

// conn is a connection that counts as unmatched until it is matched or closed.
type conn struct {
	net.Conn
	p *Port
}

func (c *conn) Close() error {
	c.p.forget(c)
	return c.Conn.Close()
}

func (p *Port) admit(c net.Conn) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.unmatched) >= p.cfg.MaxUnmatched {
		return nil
	}
	own := &conn{Conn: c, p: p}
	p.unmatched[own] = struct{}{}
	return own
}

func (p *Port) forget(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.unmatched, c)
}

// matched says that the connection has chosen its lane.
func (p *Port) matched(c net.Conn) {
	if m, ok := c.(*cmux.MuxConn); ok {
		c = m.Conn
	}
	if own, ok := c.(*conn); ok {
		p.forget(own)
	}
}

// Lane is a listener with a Close of its own.
type Lane struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	gone  func()

	mu     sync.Mutex // held for the instant of a delivery, so that none comes after the lane has been emptied
	closed bool
}

func newLane(addr net.Addr, queue int, gone func()) *Lane {
	return &Lane{addr: addr, conns: make(chan net.Conn, queue), done: make(chan struct{}), gone: gone}
}

// Accept waits for a connection; net.ErrClosed after Close.
func (l *Lane) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Addr is the port's address.
func (l *Lane) Addr() net.Addr { return l.addr }

// Close ends Accept and closes what waits for it.
func (l *Lane) Close() error {
	if l.gone != nil {
		l.gone()
	}
	l.end()
	return nil
}

func (l *Lane) end() {
	l.once.Do(func() {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		close(l.done)
		for {
			select {
			case c := <-l.conns:
				_ = c.Close()
			default:
				return
			}
		}
	})
}

// deliver queues the connection, or closes it where the lane is full or closed: it never waits.
func (l *Lane) deliver(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		select {
		case l.conns <- c:
			return
		default:
		}
	}
	_ = c.Close()
}
