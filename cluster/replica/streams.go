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
	errStuckDisk     = errors.New("the disk hangs: this member makes room for another leader")
	errStreamsClosed = errors.New("the replica is closed")
)

// streams is the StreamLayer as Raft's transport sees it. It knows every connection, so that it can cut the outgoing ones
// while the disk hangs, and so that Close can wait for the goroutines that Raft's transport starts and forgets.
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

// target is how the transport names a member to the streams.
func target(node, address string) raft.ServerAddress {
	return raft.ServerAddress(node + "\x00" + address)
}

func (s *streams) Addr() net.Addr { return s.inner.Addr() }

// Accept returns a connection whose handler is waited for by close.
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

// Dial refuses while the disk hangs.
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
	if err := s.refusal(); err != nil { // it came about meanwhile
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

// setStuck cuts what this member would lead by, or lets it dial again. It listens on: that is how it learns of the new
// leader.
func (s *streams) setStuck(stuck bool) {
	s.mu.Lock()
	s.stuck = stuck
	var cut []*conn
	if stuck {
		cut = slices.Collect(maps.Keys(s.out))
	}
	s.mu.Unlock()
	for _, c := range cut {
		c.cut()
	}
}

// cutIncoming ends every accepted connection.
func (s *streams) cutIncoming() {
	s.mu.Lock()
	cut := slices.Collect(maps.Keys(s.in))
	s.mu.Unlock()
	for _, c := range cut {
		c.cut()
	}
}

// Close ends Accept and refuses and cuts everything. It waits for nothing: see wait.
func (s *streams) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	cut := slices.AppendSeq(slices.Collect(maps.Keys(s.out)), maps.Keys(s.in))
	s.mu.Unlock()
	err := s.inner.Close()
	for _, c := range cut {
		c.cut()
	}
	return err
}

// wait returns when no dial is under way and every handler of an accepted connection has ended.
func (s *streams) wait() {
	s.dials.Wait()
	s.handlers.Wait()
}

// conn tells when its user has closed it: for an accepted connection that is the last thing its handler does.
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

// cut ends the connection under its user.
func (c *conn) cut() { _ = c.Conn.Close() }
