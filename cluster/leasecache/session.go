package leasecache

import (
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// session is one session of this process in one group. A group has at most one session that has not ended.
type session struct {
	group *group
	id    ident.SessionID
	// floor is a fence under all keys: a lease of the session at or below it is no longer installed. It rises when the
	// fence of a single key is forgotten.
	floor  atomic.Uint64
	window atomic.Pointer[window]
	held   atomic.Int64 // entries in the cache
	lapsed atomic.Bool  // as last seen by the maintenance loop, for the metric of lapses
}

// window is when a session may be used: while less than term has passed since from, and never when it is dead. A window
// is never changed, only replaced, so that a reader sees all of it at one instant.
type window struct {
	from words.ClockSample // when the newest answered keep-alive, or the opening, was sent
	term time.Duration
	dead bool
}

// newSession returns a session whose opening was sent at the sample.
func newSession(g *group, id ident.SessionID, sent words.ClockSample, term time.Duration) *session {
	s := &session{group: g, id: id}
	s.window.Store(&window{from: sent, term: term})
	return s
}

// dropped names a lease that was given up.
func (s *session) dropped(k api.Key, lid ident.LeaseID) ident.DroppedLease {
	return ident.DroppedLease{Group: s.group.id, Session: s.id, Key: k, Lease: lid}
}

// usable reports whether leases of the session may be used at t.
func (s *session) usable(t words.ClockSample) bool {
	w := s.window.Load()
	return !w.dead && t.HolderElapsed(w.from) < w.term
}

// ended reports whether the session is over for good.
func (s *session) ended() bool { return s.window.Load().dead }

// age returns how long before now the session's leases were last known to hold, or 0 if they hold now.
func (s *session) age(now words.ClockSample) time.Duration {
	w := s.window.Load()
	return max(0, now.HolderElapsed(w.from)-w.term)
}

// extend counts the term anew from when the keep-alive was sent. sent must be the time of sending, not of the answer,
// since the grantor counts from its receipt. Answers that come late or twice never shorten the term.
func (s *session) extend(sent words.ClockSample) {
	for {
		w := s.window.Load()
		if w.dead || sent.HolderElapsed(w.from) <= 0 {
			return
		}
		if s.window.CompareAndSwap(w, &window{from: sent, term: w.term}) {
			return
		}
	}
}

// end ends the session for good. It reports whether the session had not ended before. If its term was still running,
// its leases are known only to have held when the newest answered keep-alive was sent.
func (s *session) end(now words.ClockSample) bool {
	for {
		w := s.window.Load()
		if w.dead {
			return false
		}
		over := &window{from: w.from, term: w.term, dead: true}
		if now.HolderElapsed(w.from) < w.term {
			over.term = 0
		}
		if s.window.CompareAndSwap(w, over) {
			return true
		}
	}
}

// raiseFloor makes the floor at least lid.
func (s *session) raiseFloor(lid ident.LeaseID) {
	for {
		old := s.floor.Load()
		if uint64(lid) <= old || s.floor.CompareAndSwap(old, uint64(lid)) {
			return
		}
	}
}
