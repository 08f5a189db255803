package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/wire"
	"github.com/edgehold/edgehold/cluster/words"
)

// MaxCallBytes bounds a request that shares the connection with others. A larger one is called as a method, so that it does not
// hold the others up.
const MaxCallBytes = 64 << 10

// calls is the connection that small reads and transactions share on their way to another node. It is opened by the first
// call that needs it, and anew when it has broken.
type calls struct {
	way    Way           // how the node is dialled for it
	ready  chan struct{} // closed when it is open, or cannot be opened
	client *wire.Client  // set before ready is closed; nil if err is set
	err    error         // likewise
	failed time.Time     // likewise: when
}

// over reports whether a new connection is needed.
func (c *calls) over() bool {
	select {
	case <-c.ready:
	default:
		return false
	}
	if c.client == nil {
		return time.Since(c.failed) >= callsRedial
	}
	select {
	case <-c.client.Done():
		return true
	default:
		return false
	}
}

// Calls returns the connection that small calls to the node share, opened; see [Server.ServeCalls]. It is for other nodes than
// this one. CodeUnavailable if it cannot be opened before ctx ends.
func (r *Remote) Calls(ctx context.Context) (*wire.Client, error) {
	c, err := r.opening()
	if err != nil {
		return nil, err
	}
	select {
	case <-c.ready:
		return c.client, c.err
	case <-ctx.Done():
		return nil, &api.Error{Code: api.CodeUnavailable, Hint: "the node could not be reached in time", Err: ctx.Err()}
	}
}

// opening is the present connection, or a new one that is being opened.
func (r *Remote) opening() (*calls, error) {
	l := &r.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed()
	}
	old, way := l.calls, r.way()
	works := old != nil && !old.over()
	if works && old.way == way {
		return old, nil
	}
	c := &calls{way: way, ready: make(chan struct{})}
	started := r.pool.start(func() {
		if old != nil && !works {
			old.end()
		}
		c.client, c.err = r.openCalls()
		c.failed = time.Now()
		close(c.ready)
	})
	if !started {
		return nil, errClosed()
	}
	if works {
		r.pool.retire(old.end)
	}
	l.calls = c
	return c, nil
}

// end ends the connection once it has been opened, and what is under way on it.
func (c *calls) end() {
	<-c.ready
	if c.client != nil {
		_ = c.client.Close() // its error is that of the connection, which is over
	}
}

func (r *Remote) openCalls() (*wire.Client, error) {
	if r.target.node == "" {
		return nil, api.Errorf(api.CodeUnavailable, "calls go to nodes that are known")
	}
	ctx, cancel := context.WithTimeout(r.pool.ctx, callsDialTimeout)
	defer cancel()
	conn, err := r.pool.cfg.DialCalls(ctx, r.target.node)
	if err != nil {
		return nil, &api.Error{Code: api.CodeUnavailable, Hint: "the node could not be reached", Err: err}
	}
	if err := greeted(ctx, conn); err != nil {
		_ = conn.Close()
		return nil, &api.Error{Code: api.CodeUnavailable, Hint: "the node takes no calls", Err: err}
	}
	return wire.NewClient(&patient{Conn: conn}, wire.ClientConfig{}), nil
}

// greeting is the first byte from the server. A caller that receives it has reached the node that was meant; without it a
// connection that is about to be closed would take calls, whose outcome would then be unknown. It is the version of what follows;
// the service of package rpc has it in its name.
const greeting = 0x02

func greeted(ctx context.Context, conn net.Conn) error {
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	var b [1]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return err
	}
	if b[0] != greeting {
		return api.Errorf(api.CodeInternal, "the node greets with %#x, of an unknown version", b[0])
	}
	return nil
}

// callsRow is the lane of small calls in the table: a call over it counts and is judged as this, whatever it asks for.
var callsRow = Row{Name: "Calls", Class: admission.Request, Who: Nodes}

// ServeCalls answers the calls on the connections that come to l by nodes, each as if it had come by itself, until l closes.
// The connections are the server's: Close ends them.
func (s *Server) ServeCalls(l net.Listener, nodes wire.Nodes) error {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		s.serveCalls(&patient{Conn: conn}, nodes)
	}
}

func (s *Server) serveCalls(conn *patient, nodes wire.Nodes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close() // it has asked for nothing yet
		return
	}
	s.wg.Go(func() {
		from := s.cfg.Identify(conn)
		c, err := s.known(s.ctx, callsRow.Who, from)
		if err != nil || !callsRow.Who.allows(c) {
			s.cfg.Logger.Debug("a connection for calls is refused", "caller", from.Caller().Node, "error", err)
			_ = conn.Close() // the other end sees that it has not been greeted
			return
		}
		if _, err := conn.Write([]byte{greeting}); err != nil {
			_ = conn.Close() // the other end has gone
			return
		}
		if err := wire.Serve(words.WithCaller(s.ctx, from), conn, wire.ServerConfig{
			Nodes: nodes, Workers: s.cfg.Workers, Faults: s.cfg.Faults,
			Enter: func(a wire.Asked) (*admission.Ticket, *api.Error) { // before a worker is woken for the call
				row := callsRow
				if !a.Writes && a.Consistency > api.Quorum { // it may be stale, and waits for no other request
					row.Class = admission.Leased
				}
				return s.enter(row, from.Caller(), admission.Ask{Key: a.Key, Bytes: a.Bytes})
			},
		}); err != nil {
			s.cfg.Logger.Debug("a connection for calls has ended", "error", err)
		}
	})
}

// patient is a connection whose other end has a bounded time to take what is written.
type patient struct{ net.Conn }

// NetConn is the connection under it, for its socket.
func (l *patient) NetConn() net.Conn { return l.Conn }

func (l *patient) Write(b []byte) (int, error) {
	_ = l.SetWriteDeadline(time.Now().Add(callsWriteTimeout)) // a connection without deadlines writes without one
	return l.Conn.Write(b)
}

const (
	callsDialTimeout  = 5 * time.Second
	callsWriteTimeout = 10 * time.Second
	// learnRetry is how long a caller is to stay away that is not known here while a newer map cannot be had.
	learnRetry = 100 * time.Millisecond
	// callsRedial is how long a node that could not be reached is not dialled again.
	callsRedial = 50 * time.Millisecond
)
