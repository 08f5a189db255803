package replica

import (
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var (
	errStuckDisk     = errors.New("the disk hangs: this member lets another one lead")
	errStreamsClosed = errors.New("the replica is closed")
)

// streams is the StreamLayer for Raft's transport. It tracks every connection, to cut the outgoing ones while the disk hangs,
// and to wait for the goroutines that Raft's transport starts but does not track.
type streams struct {
	inner StreamLayer

	mu     sync.Mutex
	out    map[*conn]struct{}
	in     map[*conn]struct{}
	stuck  bool
	closed bool

	handlers sync.WaitGroup // accepted connections whose handler has not returned
	dials    sync.WaitGroup
}

var _ raft.StreamLayer = (*streams)(nil)

func newStreams(inner StreamLayer) *streams {
	return &streams{inner: inner, out: make(map[*conn]struct{}), in: make(map[*conn]struct{})}
}

// target encodes a member as an address for Dial.
func target(node, address string) raft.ServerAddress {
	return raft.ServerAddress(node + "\x00" + address)
}

func (s *streams) Addr() net.Addr { return s.inner.Addr() }

// Accept returns a connection. wait waits until its handler has closed it.
func (s *streams) Accept() (net.Conn, error) {
	c, err := s.inner.Accept()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.Join(errStreamsClosed, c.Close())
	}
	s.handlers.Add(1)
	accepted := &conn{Conn: c}
	accepted.gone = func() {
		s.forget(s.in, accepted)
		s.handlers.Done()
	}
	s.in[accepted] = struct{}{}
	return accepted, nil
}

// Dial fails while the disk hangs.
func (s *streams) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	s.mu.Lock()
	if err := s.refusal(); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	s.dials.Add(1)
	s.mu.Unlock()
	defer s.dials.Done()
	node, address, _ := strings.Cut(string(to), "\x00")
	c, err := s.inner.Dial(node, address, timeout)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refusal(); err != nil { // the state may have changed
		return nil, errors.Join(err, c.Close())
	}
	dialled := &conn{Conn: c}
	dialled.gone = func() { s.forget(s.out, dialled) }
	s.out[dialled] = struct{}{}
	return dialled, nil
}

func (s *streams) refusal() error {
	switch {
	case s.closed:
		return errStreamsClosed
	case s.stuck:
		return errStuckDisk
	}
	return nil
}

func (s *streams) forget(set map[*conn]struct{}, c *conn) {
	s.mu.Lock()
	delete(set, c)
	s.mu.Unlock()
}

// setStuck cuts the outgoing connections, by which this member would lead, or lets it dial again. It still accepts connections,
// by which it learns of the new leader.
func (s *streams) setStuck(stuck bool) {
	s.mu.Lock()
	s.stuck = stuck
	s.mu.Unlock()
	if stuck {
		s.cut(s.out)
	}
}

// cutIncoming closes every accepted connection.
func (s *streams) cutIncoming() { s.cut(s.in) }

// cut closes every connection of the sets.
func (s *streams) cut(sets ...map[*conn]struct{}) {
	var all []*conn
	s.mu.Lock()
	for _, set := range sets {
		all = slices.AppendSeq(all, maps.Keys(set))
	}
	s.mu.Unlock()
	for _, c := range all {
		c.cut()
	}
}

// Close ends Accept, fails every Dial and cuts every connection. It does not wait: see wait.
func (s *streams) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	err := s.inner.Close()
	s.cut(s.out, s.in)
	return err
}

// wait waits for the dials under way and the handlers of accepted connections.
func (s *streams) wait() {
	s.dials.Wait()
	s.handlers.Wait()
}

// conn calls gone when its user closes it, which is the last act of an accepted connection's handler.
type conn struct {
	net.Conn
	once sync.Once
	gone func()
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.gone)
	return err
}

// cut closes the connection without the knowledge of its user.
func (c *conn) cut() { _ = c.Conn.Close() }
