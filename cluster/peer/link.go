package peer

import (
	"context"
	"net"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/transport/rpc"
)

// link is the way to another node: a connection for calls of all kinds, and one for what must cost little.
type link struct {
	mu     sync.Mutex
	client *rpc.Client // nil until the first call
	way    Way         // of client
	calls  *calls      // nil until the first small one
	closed bool
}

// Remote is a node as others see it: what methods and streams are called at. Safe for concurrent use.
type Remote struct {
	pool    *Pool
	target  target
	self    bool
	merging sync.Map // of *merging, by the method's name
	link    link     // to other nodes
}

// Self reports whether the node is this one.
func (r *Remote) Self() bool { return r.self }

// connection is the client of the node's connection, which dials when it is needed.
func (r *Remote) connection() (*rpc.Client, error) {
	l := &r.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed()
	}
	way := r.way()
	if l.client != nil && l.way != way {
		old := l.client
		l.client = nil
		r.pool.retire(func() { _ = old.Close() }) // what is under way on it has had its time
	}
	if l.client == nil {
		c, err := rpc.NewClient(rpc.ClientConfig{Dial: r.dial})
		if err != nil {
			return nil, &api.Error{Code: api.CodeUnavailable, Hint: "no connection can be made", Err: err}
		}
		l.client, l.way = c, way
	}
	return l.client, nil
}

// way is how the node is dialled now.
func (r *Remote) way() Way {
	if r.target.node == "" {
		return Way{}
	}
	return r.pool.cfg.Way(r.target.node)
}

func (r *Remote) dial(ctx context.Context) (net.Conn, error) {
	if r.target.node != "" {
		return r.pool.cfg.Dial(ctx, r.target.node)
	}
	return r.pool.cfg.DialAddress(ctx, r.target.address)
}

// close ends the connection and all that is under way on it.
func (r *Remote) close() {
	l := &r.link
	l.mu.Lock()
	l.closed = true
	client, calls := l.client, l.calls
	l.client, l.calls = nil, nil
	l.mu.Unlock()
	if client != nil {
		if err := client.Close(); err != nil {
			r.pool.cfg.Logger.Debug("close of a connection", "node", r.target.node, "error", err)
		}
	}
	if calls != nil {
		calls.end()
	}
}
