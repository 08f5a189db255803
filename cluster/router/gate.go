package router

import (
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// gates hold back, for each group, the requests that its leader would refuse for load: to carry one there and back costs
// nearly as much as to carry it out, and helps nobody. How many go in is found out as TCP does: where the leader refuses,
// a quarter fewer; where it serves, a few more. A group whose leader has refused nothing has no gate.
type gates struct {
	mu sync.Mutex
	of map[api.GroupID]*gate // guarded by mu, and so is what they hold
}

// gate is one group's.
type gate struct {
	inside  int
	limit   int
	served  int       // since the limit rose
	lowered time.Time // when the limit was
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
		return &api.Error{Code: api.CodeUnavailable, RetryAfter: 100 * time.Millisecond,
			Hint: "the owner of the keys has more to do than it can"}
	}
	x.inside++
	return nil
}

// leave ends what enter began.
func (s *gates) leave(g api.GroupID, served bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.of[g]
	x.inside--
	if !served || x.limit >= mostInside {
		return
	}
	if x.served++; x.served >= raiseAfter {
		x.served = 0
		x.limit++
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
	x.lowered, x.served = now, 0
	x.limit = max(leastInside, min(x.limit, x.inside)*3/4)
}
