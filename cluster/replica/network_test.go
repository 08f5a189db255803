package replica

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// network connects the members of one group in memory. What is written arrives after the latency. While a direction is held,
// nothing arrives and nothing is lost, like TCP on a broken path. It runs in a synctest bubble.
type network struct {
	latency time.Duration

	mu        sync.Mutex
	listeners map[string]*endpoint
	held      map[[2]string]bool
	changed   chan struct{} // closed when held changes
	conns     map[*memConn]struct{}
}

func newNetwork(latency time.Duration) *network {
	return &network{
		latency: latency, listeners: make(map[string]*endpoint), held: make(map[[2]string]bool),
		changed: make(chan struct{}), conns: make(map[*memConn]struct{}),
	}
}

// hold stops or resumes what each of from sends to each of to.
func (n *network) hold(hold bool, from []string, to ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range from {
		for _, t := range to {
			n.held[[2]string{f, t}] = hold
		}
	}
	close(n.changed)
	n.changed = make(chan struct{})
}

// cut stops or resumes both directions between the two sides.
func (n *network) cut(cut bool, a []string, b ...string) {
	n.hold(cut, a, b...)
	n.hold(cut, b, a...)
}

// crash resets every connection of the node.
func (n *network) crash(node string) {
	n.mu.Lock()
	var reset []*memConn
	for c := range n.conns {
		if c.from == node || c.to == node {
			reset = append(reset, c)
		}
	}
	e := n.listeners[node]
	n.mu.Unlock()
	if e != nil {
		_ = e.Close()
	}
	for _, c := range reset {
		_ = c.Close()
	}
}

func (n *network) state(from, to string) (held bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.held[[2]string{from, to}], n.changed
}

// endpoint is the StreamLayer of one node.
type endpoint struct {
	n      *network
	node   string
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

var _ StreamLayer = (*endpoint)(nil)

func (n *network) endpoint(node string) *endpoint {
	e := &endpoint{n: n, node: node, accept: make(chan net.Conn, 16), closed: make(chan struct{})}
	n.mu.Lock()
	n.listeners[node] = e
	n.mu.Unlock()
	return e
}

type memAddr string

func (memAddr) Network() string  { return "memory" }
func (a memAddr) String() string { return string(a) }

func (e *endpoint) Addr() net.Addr { return memAddr(e.node) }

func (e *endpoint) Accept() (net.Conn, error) {
	select {
	case c := <-e.accept:
		return c, nil
	case <-e.closed:
		return nil, net.ErrClosed
	}
}

func (e *endpoint) Close() error {
	e.once.Do(func() {
		close(e.closed)
		e.n.mu.Lock()
		if e.n.listeners[e.node] == e {
			delete(e.n.listeners, e.node)
		}
		e.n.mu.Unlock()
	})
	return nil
}

func (e *endpoint) Dial(node, _ string, timeout time.Duration) (net.Conn, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for _, way := range [][2]string{{e.node, node}, {node, e.node}} {
		for {
			held, changed := e.n.state(way[0], way[1])
			if !held {
				break
			}
			select {
			case <-changed:
			case <-timer.C:
				return nil, os.ErrDeadlineExceeded
			case <-e.closed:
				return nil, net.ErrClosed
			}
		}
	}
	e.n.mu.Lock()
	peer := e.n.listeners[node]
	e.n.mu.Unlock()
	if peer == nil {
		return nil, errors.New("connection refused")
	}
	there, back := newPipe(e.n, e.node, node), newPipe(e.n, node, e.node)
	mine := &memConn{n: e.n, from: e.node, to: node, r: back, w: there}
	theirs := &memConn{n: e.n, from: node, to: e.node, r: there, w: back}
	select {
	case peer.accept <- theirs:
	case <-peer.closed:
		return nil, errors.New("connection refused")
	case <-timer.C:
		return nil, os.ErrDeadlineExceeded
	}
	e.n.mu.Lock()
	e.n.conns[mine], e.n.conns[theirs] = struct{}{}, struct{}{}
	e.n.mu.Unlock()
	return mine, nil
}

// pipe is one direction of a connection.
type pipe struct {
	n        *network
	from, to string

	mu       sync.Mutex
	segments []segment
	eof      bool // the writer has closed
	dead     bool // the reader has closed
	poke     chan struct{}
}

type segment struct {
	at time.Time
	b  []byte
}

func newPipe(n *network, from, to string) *pipe {
	return &pipe{n: n, from: from, to: to, poke: make(chan struct{}, 1)}
}

func (p *pipe) wake() {
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// take returns what has arrived, else how long until something arrives, or -1 if nothing is under way.
func (p *pipe) take(b []byte, held bool) (n int, wait time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.dead:
		return 0, 0, net.ErrClosed
	case held:
		return 0, -1, nil
	case len(p.segments) == 0 && p.eof:
		return 0, 0, io.EOF
	case len(p.segments) == 0:
		return 0, -1, nil
	}
	s := &p.segments[0]
	if d := time.Until(s.at); d > 0 {
		return 0, d, nil
	}
	n = copy(b, s.b)
	if s.b = s.b[n:]; len(s.b) == 0 {
		p.segments = p.segments[1:]
	}
	return n, 0, nil
}

type memConn struct {
	n        *network
	from, to string
	r, w     *pipe

	mu       sync.Mutex
	deadline time.Time
}

func (c *memConn) Read(b []byte) (int, error) {
	for {
		held, changed := c.n.state(c.to, c.from)
		n, wait, err := c.r.take(b, held)
		if n > 0 || err != nil {
			return n, err
		}
		c.mu.Lock()
		deadline := c.deadline
		c.mu.Unlock()
		if !deadline.IsZero() {
			left := time.Until(deadline)
			if left <= 0 {
				return 0, os.ErrDeadlineExceeded
			}
			if wait < 0 || left < wait {
				wait = left
			}
		}
		var timeout <-chan time.Time
		if wait >= 0 {
			timeout = time.After(wait)
		}
		select {
		case <-c.r.poke:
		case <-changed:
		case <-timeout:
		}
	}
}

func (c *memConn) Write(b []byte) (int, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.w.eof || c.w.dead {
		return 0, io.ErrClosedPipe
	}
	c.w.segments = append(c.w.segments, segment{at: time.Now().Add(c.n.latency), b: append([]byte(nil), b...)})
	c.w.wake()
	return len(b), nil
}

func (c *memConn) Close() error {
	c.n.mu.Lock()
	delete(c.n.conns, c)
	c.n.mu.Unlock()
	c.w.mu.Lock()
	c.w.eof = true
	c.w.mu.Unlock()
	c.w.wake()
	c.r.mu.Lock()
	c.r.dead = true
	c.r.mu.Unlock()
	c.r.wake()
	return nil
}

func (c *memConn) LocalAddr() net.Addr  { return memAddr(c.from) }
func (c *memConn) RemoteAddr() net.Addr { return memAddr(c.to) }

func (c *memConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	c.r.wake()
	return nil
}
func (c *memConn) SetReadDeadline(t time.Time) error { return c.SetDeadline(t) }
func (c *memConn) SetWriteDeadline(time.Time) error  { return nil }
