package router

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

// gates hold back, for each group, the requests that its leader would refuse for load: to carry one there and back costs
// nearly as much as to carry it out, and helps nobody. How many go in is found out as TCP does: where the leader refuses,
// a quarter fewer; where it serves, a few more. A group whose leader has refused nothing has no gate.
type gates struct {
	narrow atomic.Int64         // gates that are not open; changed under mu
	moves  atomic.Uint64        // what may have made a gate less full, so often; changed under mu
	shut   atomic.Pointer[shut] // a refusal that may stand for others; nil: none yet

	mu     sync.Mutex
	inside int64                 // guarded by mu: requests of all groups
	of     map[api.GroupID]*gate // guarded by mu, and so is what they hold
}

// gate is one group's.
type gate struct {
	inside  int
	limit   int
	served  int       // since the limit rose
	lowered time.Time // when the limit was
}

// shut is a refusal that stands for other requests as well. Under overload nine or more are refused for each that is
// served, and most of them come together: one look at a gate does for all until something moves. Of several groups that are
// full it is one.
type shut struct {
	group api.GroupID
	span  placement.Span // of it
	of    *placement.Map // by this map
	moves uint64         // as long as nothing has moved
	begun int64          // and no fewer are under way
}

// stands tells whether the refusal that is kept is that of a request for k, too.
func (s *gates) stands(m *placement.Map, k api.Key, begun int64) bool {
	x := s.shut.Load()
	return x != nil && x.moves == s.moves.Load() && x.of == m && begun >= x.begun &&
		x.span.Range.Contains(k) && x.span.Owner(k) == x.group
}

// refusal is what a request for k is told where the gate of its group by this map is full; see full.
func (s *gates) refusal(m *placement.Map, k api.Key, begun int64) *api.Error {
	if s.narrow.Load() == 0 { // mostly: then the key need not be looked up
		return nil
	}
	if s.stands(m, k, begun) {
		return errFull
	}
	moves := s.moves.Load() // before the look: what moves meanwhile ends the refusal
	span, ok := m.Span(k)
	if !ok {
		return nil
	}
	g := span.Owner(k)
	e := s.full(g, begun)
	if e != nil {
		s.remember(shut{group: g, span: span, of: m, moves: moves, begun: begun})
	}
	return e
}

// remember keeps a refusal, in the place of one that does not stand any more.
func (s *gates) remember(x shut) {
	if old := s.shut.Load(); old == nil || old.group == x.group || old.moves != x.moves || old.of != x.of {
		kept := x
		s.shut.Store(&kept)
	}
}

const (
	// leastInside requests of a group always go in: what is told on is never so few that it is no load.
	leastInside = 256
	// mostInside is where a gate is open.
	mostInside = 8192
	// lowerEvery is the least time between two lowerings: many refusals tell of one and the same moment.
	lowerEvery = 50 * time.Millisecond
	// raiseAfter requests that were served let one more in.
	raiseAfter = 8
)

// errFull is told to everyone who finds a gate closed: nobody changes it.
var errFull = &api.Error{Code: api.CodeUnavailable, RetryAfter: 100 * time.Millisecond,
	Hint: "the owner of the keys has more to do than it can"}

// full tells whether enter would let no more in when those had come who are on their way: begun requests are under way at
// this node, and those that are at no gate may come to this one.
func (s *gates) full(g api.GroupID, begun int64) *api.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.of[g]
	if x == nil || x.limit >= mostInside || int64(x.inside)+max(0, begun-s.inside) < int64(x.limit) {
		return nil
	}
	return errFull
}

// enter lets a request in, or says when to come again.
func (s *gates) enter(g api.GroupID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.of[g]
	if x == nil {
		if s.of == nil {
			s.of = map[api.GroupID]*gate{}
		}
		x = &gate{limit: mostInside}
		s.of[g] = x
	}
	if x.inside >= x.limit {
		return errFull
	}
	x.inside++
	s.inside++
	s.moves.Add(1) // it may have been counted for another gate
	return nil
}

// leave ends what enter began.
func (s *gates) leave(g api.GroupID, served bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.of[g]
	x.inside--
	s.inside--
	s.moves.Add(1)
	if !served || x.limit >= mostInside {
		return
	}
	if x.served++; x.served >= raiseAfter {
		x.served = 0
		if x.limit++; x.limit == mostInside {
			s.narrow.Add(-1)
		}
	}
}

// refused takes note that the group's leader could take no more.
func (s *gates) refused(g api.GroupID) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.of[g]
	if x == nil || now.Sub(x.lowered) < lowerEvery {
		return
	}
	if x.lowered, x.served = now, 0; x.limit == mostInside {
		s.narrow.Add(1)
	}
	x.limit = max(leastInside, min(x.limit, x.inside)*3/4)
}
