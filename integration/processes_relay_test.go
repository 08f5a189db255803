package integration

import (
	"net"
	"sync"
	"testing"
)

// relay passes connections on to an address, until it is cut: then nothing passes either way, and as on a network that
// drops packets, neither side gets an error. Healed, it passes on what has waited.
type relay struct {
	listener net.Listener
	to       string
	gate     sync.RWMutex // read-locked while bytes pass; cut holds it
	isCut    bool         // belongs to the test's goroutine

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
	tasks  sync.WaitGroup
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, to: to, conns: map[net.Conn]bool{}}
	r.tasks.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *relay) address() string { return r.listener.Addr().String() }

// cut returns once nothing passes any more.
func (r *relay) cut() { r.gate.Lock(); r.isCut = true }

func (r *relay) heal() { r.isCut = false; r.gate.Unlock() }

func (r *relay) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.tasks.Go(func() { r.serve(c) })
	}
}

func (r *relay) serve(from net.Conn) {
	defer r.drop(from)
	if !r.keep(from) {
		return
	}
	r.gate.RLock()
	to, err := net.Dial("tcp", r.to)
	r.gate.RUnlock()
	if err != nil {
		return
	}
	defer r.drop(to)
	if !r.keep(to) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { r.pass(from, to) })
	r.pass(to, from)
	back.Wait()
}

// pass copies until one end is over, and ends the other.
func (r *relay) pass(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		r.gate.RLock()
		_, failed := to.Write(buf[:n])
		r.gate.RUnlock()
		if err != nil || failed != nil {
			return
		}
	}
}

// keep notes a connection, to close it at the end; false if the end has come.
func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.conns[c] = true
	}
	return !r.closed
}

func (r *relay) drop(c net.Conn) {
	_ = c.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

func (r *relay) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	r.closed = true
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	if r.isCut {
		r.heal()
	}
	r.tasks.Wait()
}
