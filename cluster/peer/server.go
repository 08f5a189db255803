package peer

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Server answers what nodes ask of this one, and reaches lease holders: it implements region.Revoker. Safe for concurrent
// use.
type Server struct {
	cfg      ServerConfig
	metrics  metrics
	requests room
	control  room
	polls    room
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	streams map[ident.Nonce]*stream // the newest of each process
	leads   map[api.GroupID]words.Leads
}

// NewServer makes a server. It answers this node's own calls at once, and others once it is registered.
func NewServer(cfg ServerConfig) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, streams: map[ident.Nonce]*stream{}, leads: map[api.GroupID]words.Leads{}}
	s.requests = room{what: "requests", max: int64(cfg.MaxRequests), calm: int64(cfg.CalmRequests), busy: cfg.Busy}
	s.control = room{what: "calls of the cluster's own", max: int64(cfg.MaxControl)}
	s.polls = room{what: "polls", max: int64(cfg.MaxPolls)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.metrics = newMetrics(cfg.Metrics, s)
	return s, nil
}

// Close ends all lease streams and polls and waits for them. Other calls end when the groups behind them do.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
}

// Report tells what this node knows of itself, without waiting.
func (s *Server) Report() Report {
	r := Report{Node: s.cfg.Self, Region: s.cfg.Region, Role: s.cfg.Role, Level: s.cfg.Level}
	for _, id := range s.cfg.All() {
		g, ok := s.cfg.Groups(id)
		if !ok {
			continue
		}
		status, sessions, leases := g.Status()
		r.Groups = append(r.Groups, status)
		if status.Leader == s.cfg.Self {
			r.Sessions += sessions
			r.Leases += leases
		}
	}
	if m := s.cfg.Meta(); m != nil {
		r.Groups = append(r.Groups, m.Status())
	}
	return r
}

// group finds a group's replica at this node. Where there is none, others may have one: that is no error of the map.
func (s *Server) group(id api.GroupID) (Group, error) {
	if id == "" {
		return nil, api.Errorf(api.CodeInvalid, "a request between nodes names its group")
	}
	if g, ok := s.cfg.Groups(id); ok {
		return g, nil
	}
	return nil, notHere(id)
}

func notHere(id api.GroupID) *api.Error {
	return api.Errorf(api.CodeNotLeader, "this node has no replica of group %s", id)
}

// room is a limit on what is under way.
type room struct {
	what string
	max  int64
	// calm is how many are never too many while busy says that the processors cannot keep up; nil: it never says so.
	calm int64
	busy func() bool
	n    atomic.Int64
}

func (r *room) enter() bool {
	n := r.n.Add(1)
	if n > r.max || r.busy != nil && n > r.calm && r.busy() {
		r.n.Add(-1)
		return false
	}
	return true
}

func (r *room) leave() { r.n.Add(-1) }
