package peer

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/transport/rpc"
)

// Server answers what nodes ask of this one: the methods and streams that rooms have registered, with [Method.Handle] and its
// like. Safe for concurrent use.
type Server struct {
	cfg     ServerConfig
	entries sync.Map // of entry, by name
	rpc     *rpc.Server
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu     sync.Mutex
	closed bool
	busy   map[ofNode]int // guarded by mu: calls and streams under way of rows with a bound for each node
}

// ofNode is a row of the table and a caller.
type ofNode struct {
	row  string
	node api.NodeID
}

// NewServer makes a server. It answers this node's own calls at once, and others while it serves their lanes.
func NewServer(cfg ServerConfig) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, rpc: rpc.NewServer(rpc.ServerConfig{Peer: func(c net.Conn) any { return cfg.Identify(c) }})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
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

// Go runs f in a goroutine that Close waits for, after the connections and their streams have ended. It returns false after Close.
func (s *Server) Go(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Go(f)
	return true
}

// one counts a call or stream of a node as under way until leave, if its row bounds those of one node.
func (s *Server) one(r Row, node api.NodeID) (leave func(), err error) {
	if r.PerNode == 0 {
		return func() {}, nil
	}
	x := ofNode{r.Name, node}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[x] >= r.PerNode {
		return nil, &api.Error{Code: api.CodeUnavailable, Op: r.Name, RetryAfter: time.Second,
			Hint: fmt.Sprintf("%d calls of node %s are under way, the limit for one node", r.PerNode, node)}
	}
	if s.busy == nil {
		s.busy = map[ofNode]int{}
	}
	s.busy[x]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.busy[x]--; s.busy[x] == 0 {
			delete(s.busy, x)
		}
	}, nil
}

// admit is enter for one call, whose error is the caller's own. It may wait for a newer placement map.
func (s *Server) admit(ctx context.Context, r Row, from Identity, k api.Key) (*admission.Ticket, error) {
	c, err := s.known(ctx, r.Who, from)
	if err != nil {
		return nil, err
	}
	place, refusal := s.enter(r, c, admission.Ask{Key: k})
	if refusal != nil {
		e := *refusal
		return nil, &e
	}
	return place, nil
}

// enter is the one place that lets a call in: it is for callers like this one, and there is room for it. The place must be left.
// The refusal is shared: the caller does not change it.
func (s *Server) enter(r Row, from *Caller, a admission.Ask) (place *admission.Ticket, refusal *api.Error) {
	if !r.Who.allows(from) {
		return nil, r.Who.denied(s.cfg.Self, from)
	}
	a.Class, a.Caller = r.Class, string(from.Node)
	place, refusal = s.cfg.Room.Enter(a)
	if refusal != nil && refusal.Key != "" {
		crowded := *refusal
		crowded.Code = words.Crowded
		refusal = &crowded
	}
	return place, refusal
}
