package resp

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/observe"
)

// The defaults of a [Config].
const (
	DefaultMaxConns       = 4096
	DefaultMaxBytes       = 64 << 20
	DefaultMaxAnswerBytes = 64 << 20
)

// idleGrace is how long a connection must have been idle before another one takes its place.
const idleGrace = time.Second

// acceptPause is how long a listener rests that could not accept.
const acceptPause = time.Second

// Config is how connections are treated. The zero of every field works.
type Config struct {
	// MaxConns bounds the open connections. For one more, the connection that has been idle for the longest time is closed; if none
	// is idle, the new one is refused. 0 is [DefaultMaxConns].
	MaxConns int
	// MaxBytes bounds what connections keep of commands over 16 KiB and of transactions that are not complete. A principal may take
	// as much as it leaves free. A command that finds no room is refused. 0 is [DefaultMaxBytes].
	MaxBytes int64
	// MaxAnswerBytes bounds answers over 16 KiB that clients have not accepted, in the same way. For one more, the connection is closed
	// whose client has let one wait for the longest time; if none waits for a second, the command is refused. 0 is
	// [DefaultMaxAnswerBytes].
	MaxAnswerBytes int64
	// Timeout bounds each command. 0 is [api.DefaultTimeout].
	Timeout time.Duration
	// Copies returns how many servers, beside the one that leads a group, have what was acknowledged at the least, for WAIT. It must
	// not block. nil is always 0.
	Copies func() int
	// Metrics is where the server registers what it measures, beside what its Backend does; nil measures nothing.
	Metrics observe.Metrics
}

// Server serves RESP on listeners. It is safe for concurrent use.
type Server struct {
	backend  *front.Backend
	maxConns int
	timeout  time.Duration
	copies   func() int
	started  time.Time
	memory   memory // of what clients send
	answers  memory // of what they have not accepted
	cursors  cursors
	apart    apart

	commands, accepted atomic.Uint64
	served             served

	ctx      context.Context // of all requests; ends when Close has waited long enough
	cancel   context.CancelFunc
	draining chan struct{} // closed when Close begins

	mu        sync.Mutex
	closed    bool // guarded by mu, as all below
	listeners []net.Listener
	conns     map[*conn]struct{}
	tasks     sync.WaitGroup // added to under mu while not closed
}

// New returns a server of a node's RESP.
func New(b *front.Backend, cfg Config) *Server {
	s := &Server{
		backend: b, maxConns: cmp.Or(cfg.MaxConns, DefaultMaxConns), timeout: cmp.Or(cfg.Timeout, api.DefaultTimeout), copies: cfg.Copies,
		started: time.Now(), memory: memory{limit: cmp.Or(cfg.MaxBytes, DefaultMaxBytes)}, answers: memory{limit: cmp.Or(cfg.MaxAnswerBytes, DefaultMaxAnswerBytes)},
		draining: make(chan struct{}), conns: map[*conn]struct{}{},
	}
	if s.copies == nil {
		s.copies = func() int { return 0 }
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if m := cfg.Metrics; m != nil {
		m.Gauge("edgehold_resp_connections", "Open connections of RESP.", func() float64 { return float64(s.open()) })
		m.Gauge("edgehold_resp_buffered_bytes", "Memory of connections of RESP for large commands and open transactions.",
			func() float64 { return float64(s.memory.used.Load()) })
		m.Gauge("edgehold_resp_answer_bytes", "Memory of connections of RESP for large answers that clients have not accepted.",
			func() float64 { return float64(s.answers.used.Load()) })
	}
	return s
}

// Serve begins to serve the connections of l, which the server owns from here on. After Close it closes l.
func (s *Server) Serve(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = l.Close() // nothing uses it
		return
	}
	s.listeners = append(s.listeners, l)
	s.tasks.Go(func() {
		for {
			c, err := l.Accept()
			switch {
			case err == nil:
				s.take(c)
			case s.closing() || errors.Is(err, net.ErrClosed):
				return
			default: // such as too many open files
				s.backend.Log("RESP could not accept a connection, and tries again", "error", err, "after", acceptPause)
				if !s.pause(acceptPause) {
					return
				}
			}
		}
	})
}

// pause waits, and returns false if Close has begun.
func (s *Server) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.draining:
		return false
	}
}

// take serves a connection, if there is room for it.
func (s *Server) take(c net.Conn) {
	id := s.accepted.Add(1)
	k := newConn(s, c, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= s.maxConns && !s.closeIdle() {
		s.refuseConn(c)
		return
	}
	s.conns[k] = struct{}{}
	s.tasks.Go(func() {
		defer s.left(k)
		k.serve()
	})
}

// refuseConn closes a connection over the bound. Its error fits the connection's buffers.
func (s *Server) refuseConn(c net.Conn) {
	s.tasks.Go(func() {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // without deadlines, the buffers take it
		_, _ = c.Write([]byte("-" + string(errMaxClients) + "\r\n"))
		_ = c.Close()
	})
}

// closeIdle closes the connection that has been idle for the longest time; false if none has been for long enough. The caller holds
// mu.
func (s *Server) closeIdle() bool {
	var oldest *conn
	var since int64
	for k := range s.conns {
		if at := k.idle.Load(); at != 0 && (oldest == nil || at < since) {
			oldest, since = k, at
		}
	}
	if oldest == nil || time.Since(time.Unix(0, since)) < idleGrace {
		return false
	}
	delete(s.conns, oldest)
	_ = oldest.Conn.Close() // its goroutine sees that
	return true
}

// left ends what a connection has kept.
func (s *Server) left(k *conn) {
	k.endMulti()
	k.release()
	_ = k.Conn.Close() // it is not used any more
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, k)
}

// open returns how many connections are open.
func (s *Server) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// closing reports whether Close has begun.
func (s *Server) closing() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// Close stops accepting, closes idle connections, lets the commands under way be answered for at most grace, then ends them, and
// returns when no connection is served any more. It is to be called once. An error means that commands were cut off.
func (s *Server) Close(grace time.Duration) error {
	s.mu.Lock()
	s.closed = true
	close(s.draining)
	for _, l := range s.listeners {
		_ = l.Close() // nothing accepts any more
	}
	for k := range s.conns {
		_ = k.SetReadDeadline(time.Unix(1, 0)) // one that waits for a command ends
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.tasks.Wait()
		close(done)
	}()
	patience := time.NewTimer(grace)
	defer patience.Stop()
	var err error
	select {
	case <-done:
	case <-patience.C:
		err = context.DeadlineExceeded
	}
	s.cancel()
	s.mu.Lock()
	for k := range s.conns {
		_ = k.Conn.Close() // its goroutine sees that
	}
	s.mu.Unlock()
	<-done
	return err
}

// served counts the keys that were read.
type served struct{ hits, misses, leased, owner, stale atomic.Uint64 }

// count returns how many bytes the values of a read have.
func (s *served) count(r *api.ReadResult) (size int64) {
	hits := uint64(0)
	for i := range r.Entries {
		if r.Entries[i].Exists {
			hits++
		}
		size += int64(len(r.Entries[i].Value))
	}
	all := uint64(len(r.Entries))
	s.hits.Add(hits)
	s.misses.Add(all - hits)
	switch r.ServedBy {
	case api.ServedByLease:
		s.leased.Add(all)
	case api.ServedByStale:
		s.stale.Add(all)
	default:
		s.owner.Add(all)
	}
	return size
}
