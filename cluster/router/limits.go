package router

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/fsm/placement"
)

// limits holds back, for each group, the requests that its leader would refuse for load. A group whose leader has
// refused nothing has the highest limit.
type limits struct {
	narrow atomic.Int64              // groups whose leaders have refused; changed under mu
	full   atomic.Pointer[foundFull] // of the group that was found full last, until one of its requests ends

	mu  sync.Mutex
	all int                                // guarded by mu: requests under way to any group
	of  map[api.GroupID]*admission.Limiter // guarded by mu, as are the limiters themselves
}

const (
	// MinInside is the number of requests of a group that may always be under way.
	MinInside = 256
	// MaxInside is the number of requests of a group that may be under way if its leader has refused nothing: all that
	// a node admits.
	MaxInside = admission.DefaultLeased + admission.DefaultRequests + admission.DefaultSlow
	// raiseAfter is the number of served requests after which one more is admitted.
	raiseAfter = 32
)

// foundFull says of a group that it is full, for so many more requests. Under overload many are refused for each that ends, and to
// find out the same for each of them would cost most of a refusal.
type foundFull struct {
	group api.GroupID
	begun int // with as many requests on their way
	left  atomic.Int32
}

// fullFor is for how many requests it stands at most, since time alone also makes room: for requests that have become slow.
const fullFor = 64

func (f *foundFull) of(g api.GroupID, begun int) bool {
	return f != nil && f.group == g && begun >= f.begun && f.left.Add(-1) >= 0
}

// errFull is shared and must not be changed.
var errFull = &api.Error{Code: api.CodeUnavailable, RetryAfter: 100 * time.Millisecond,
	Hint: "the owner of the keys is overloaded"}

// refusal returns the refusal of a request for k if the owner of k in this map has too many requests, or nil if the
// request may be sent.
func (s *limits) refusal(m *placement.Map, k api.Key, begun int) *api.Error {
	if s.narrow.Load() == 0 { // the common case: the key need not be looked up
		return nil
	}
	g, _, ok := m.Locate(k)
	if !ok {
		return nil
	}
	if s.full.Load().of(g, begun) {
		return errFull
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.of[g]; l == nil || l.Open() || !l.Full(time.Now(), max(0, begun-s.all)) {
		return nil
	}
	f := &foundFull{group: g, begun: begun}
	f.left.Store(fullFor)
	s.full.Store(f)
	return errFull
}

// enter counts a request as under way, or returns the refusal.
func (s *limits) enter(g api.GroupID) (*admission.Ticket, error) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.of[g]
	if l == nil {
		if s.of == nil {
			s.of = map[api.GroupID]*admission.Limiter{}
		}
		l = &admission.Limiter{Least: MinInside, Most: MaxInside, RaiseAfter: raiseAfter, SlowAfter: admission.SlowAfter}
		s.of[g] = l
	}
	if l.Full(now, 0) {
		return nil, errFull
	}
	s.all++
	return l.Begin(now), nil
}

// leave ends what enter began.
func (s *limits) leave(g api.GroupID, place *admission.Ticket, served bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.of[g]
	s.all--
	l.End(place)
	if f := s.full.Load(); f != nil && f.group == g {
		s.full.Store(nil)
	}
	if served && !l.Open() {
		if l.Served(); l.Open() {
			s.narrow.Add(-1)
		}
	}
}

// refused notes that the group's leader refused for load a request that was sent at asked.
func (s *limits) refused(g api.GroupID, asked time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.of[g]
	if l == nil {
		return
	}
	open := l.Open()
	if l.Refused(asked, time.Now()); open && !l.Open() {
		s.narrow.Add(1)
	}
}
