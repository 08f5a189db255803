package peer

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/transport/rpc"
)

// Server answers what nodes ask of this one: the methods and streams that rooms have registered, with [Method.Handle] and its
// like. Safe for concurrent use.
type Server struct {
	cfg     ServerConfig
	metrics metrics
	shares  [None + 1]share
	entries sync.Map // of entry, by name
	rpc     *rpc.Server
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// NewServer makes a server. It answers this node's own calls at once, and others while it serves their lanes.
func NewServer(cfg ServerConfig) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, rpc: rpc.NewServer(rpc.ServerConfig{})}
	s.shares[Requests] = share{full: overload("requests"), max: int64(cfg.MaxRequests), calm: int64(cfg.CalmRequests), busy: cfg.Busy}
	s.shares[Control] = share{full: overload("calls of the cluster's own"), max: int64(cfg.MaxControl)}
	s.shares[Polls] = share{full: overload("polls"), max: int64(cfg.MaxPolls)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.metrics = newMetrics(cfg.Metrics, s)
	return s, nil
}

// Serve answers the calls and streams on the connections that come to l, until l closes or the server does.
func (s *Server) Serve(l net.Listener) error { return s.rpc.Serve(l) }

// Close ends all connections, with the calls and streams on them, and waits for their handlers. This node's own calls end when
// what is behind them does.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.rpc.Close()
	s.wg.Wait()
}

// self is this node as a caller of its own methods.
func (s *Server) self() Caller { return Caller{Node: s.cfg.Self, Role: s.cfg.Role, Verified: true} }

// enter lets a call in, or returns why not; see refusal.
func (s *Server) enter(r Row, from Caller) error {
	if refusal := s.refusal(r, from); refusal != nil {
		e := *refusal
		return &e
	}
	return nil
}

// refusal is the one place that lets a call in: it is for callers like this one, and its share has room for it; leave is its end.
// Else it returns the refusal, which is shared: it is not to be changed.
func (s *Server) refusal(r Row, from Caller) *api.Error {
	switch {
	case !r.Who.allows(from):
		return errServersOnly
	case r.Share == None || s.shares[r.Share].enter():
		return nil
	}
	s.metrics.refused(1, r.Name)
	return s.shares[r.Share].full
}

var errServersOnly = api.Errorf(api.CodeDenied, "only servers of the cluster may ask that of a node, and this node is an edge")

func (s *Server) leave(r Row) {
	if r.Share != None {
		s.shares[r.Share].leave()
	}
}

// share is a limit on what is under way.
type share struct {
	full *api.Error // the refusal
	max  int64
	// calm is how many are never too many while busy reports that the processors cannot keep up; nil: it never does.
	calm int64
	busy func() bool
	n    atomic.Int64
}

func (x *share) enter() bool {
	n := x.n.Add(1)
	if n > x.max || x.busy != nil && n > x.calm && x.busy() {
		x.n.Add(-1)
		return false
	}
	return true
}

func (x *share) leave() { x.n.Add(-1) }

// overload is the refusal of what a limit has no room for.
func overload(what string) *api.Error {
	return &api.Error{Code: api.CodeUnavailable, Hint: "this node is at its limit of " + what, RetryAfter: retryAfter}
}
