package transport

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// flooded is a listener at which many connections wait.
type flooded struct {
	left     atomic.Int64
	accepted atomic.Int64
	first    atomic.Int64 // how many had been accepted when one was read first
	closed   chan struct{}
	once     sync.Once
}

func (l *flooded) Accept() (net.Conn, error) {
	if l.left.Add(-1) < 0 {
		<-l.closed
		return nil, net.ErrClosed
	}
	l.accepted.Add(1)
	mine, theirs := net.Pipe()
	_ = mine.Close()
	return floodedConn{theirs, l}, nil
}

func (l *flooded) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *flooded) Addr() net.Addr { return &net.TCPAddr{} }

type floodedConn struct {
	net.Conn
	of *flooded
}

func (c floodedConn) Read(b []byte) (int, error) {
	c.of.first.CompareAndSwap(0, c.of.accepted.Load())
	return c.Conn.Read(b)
}

// TestAcceptYieldsToReadyGoroutines: however many connections wait, the goroutines that are ready run after some of them.
func TestAcceptYieldsToReadyGoroutines(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that only one goroutine runs at a time
	l := &flooded{closed: make(chan struct{})}
	l.left.Store(500) // which would be accepted before any goroutine is preempted
	p, err := Open(Config{Listener: l})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "all are accepted, and one is read", func() bool { return l.left.Load() < 0 && l.first.Load() > 0 })
	if n := l.first.Load(); n > acceptAtOnce {
		t.Errorf("%d were accepted before the first one was read", n)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
