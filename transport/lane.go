package transport

import (
	"net"
	"sync"
)

// Lane is the listener of one kind of connections, with a Close of its own. Safe for concurrent use.
type Lane struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	max   int
	gone  func()

	mu     sync.Mutex // under it a connection is put in, so that none comes after the lane has been emptied
	open   int        // delivered and not closed
	closed bool
}

var _ net.Listener = (*Lane)(nil)

func newLane(addr net.Addr, queue, limit int, gone func()) *Lane {
	return &Lane{addr: addr, conns: make(chan net.Conn, min(queue, limit)), done: make(chan struct{}), max: limit, gone: gone}
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

// Close ends Accept and closes what waits for it. Connections that were accepted go on.
func (l *Lane) Close() error {
	if l.gone != nil {
		l.gone()
	}
	l.end()
	return nil
}

func (l *Lane) end() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	close(l.done)
	l.mu.Unlock()
	for {
		select {
		case c := <-l.conns:
			_ = c.Close()
		default:
			return
		}
	}
}

// take queues a connection and does not wait; false if the lane is closed, has too many open connections, or its queue is full.
func (l *Lane) take(own *conn, c net.Conn) bool {
	if !l.enter(own) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	select {
	case l.conns <- c:
		return true
	default:
		return false
	}
}

// enter counts a connection as open until it is closed.
func (l *Lane) enter(own *conn) bool {
	own.mu.Lock()
	defer own.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if own.closed || l.open >= l.max {
		return false
	}
	l.open++
	own.leave = l.leave
	return true
}

func (l *Lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}
