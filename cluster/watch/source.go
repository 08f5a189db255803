package watch

import (
	"context"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
)

// source is a merge that watchers share, with a ring of what it told last. It ends with its last watcher.
type source struct {
	hub      *Hub
	of       api.Range
	keysOnly bool
	end      func() // ends the merge

	watchers int                  // guarded by hub.mu
	used     time.Time            // when a watcher last came; guarded by hub.mu
	halt     atomic.Pointer[halt] // nil: it waits for none

	mu     sync.Mutex
	wanted []*cursor.Cursor // positions of the watchers that came before it opened
	opened bool
	at     *cursor.Cursor // of the newest round; nil until it has opened
	asOf   time.Time
	ring   []*round // rounds with parts, oldest first
	first  uint64   // the number of the oldest one; they are counted from 1
	bytes  int
	views  map[viewKey]*view
	err    error // why it ended
}

// halt records when the feed of a source began to wait for an earlier owner, and the position of the source.
type halt struct {
	since time.Time
	at    *cursor.Cursor
}

// note notes whether a feed is halted behind a round, for holdsUp, which must not wait for mu.
func (s *source) note(r *round) {
	switch old := s.halt.Load(); {
	case !r.halted:
		s.halt.Store(nil)
	case old == nil:
		s.halt.Store(&halt{time.Now(), r.after})
	default:
		s.halt.Store(&halt{old.since, r.after})
	}
}

// holdsUp reports whether a watch from the position would wait here for what it does not need itself: the source has waited for long for
// an earlier owner, and the watch is beyond it.
func (s *source) holdsUp(at *cursor.Cursor) bool {
	x := s.halt.Load()
	return x != nil && time.Since(x.since) >= haltTime && !at.Before(x.at.Part(at.Range))
}

// run waits for watchers, opens the source at the oldest position among theirs, and carries the merge until ctx ends.
func (s *source) run(ctx context.Context) error {
	t := time.NewTimer(gatherTime)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return ended(ctx)
	}
	s.mu.Lock()
	at := oldest(s.wanted)
	s.at, s.opened, s.wanted = at, true, nil
	s.wakeLocked()
	s.mu.Unlock()
	m := &merge{hub: s.hub, keysOnly: s.keysOnly, emit: s.append}
	return m.run(ctx, at)
}

// fail ends the watches of the source.
func (s *source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	s.hub.ringBytes.Add(-int64(s.bytes))
	s.ring, s.bytes = nil, 0
	s.wakeLocked()
}

// oldest returns the position from which a stream serves the most watchers: one that is before all that can be compared.
func oldest(wanted []*cursor.Cursor) *cursor.Cursor {
	all := wanted[0]
	for _, c := range wanted[1:] {
		switch {
		case all.Before(c):
		case c.Before(all):
			all = c
		default:
			all = least(all, c)
		}
	}
	return all
}

// least returns the older position of each piece, if both have the same pieces; else a.
func least(a, b *cursor.Cursor) *cursor.Cursor {
	if len(a.Pieces) != len(b.Pieces) {
		return a
	}
	l := *a
	l.Pieces = slices.Clone(a.Pieces)
	for i, p := range b.Pieces {
		x := &l.Pieces[i]
		if x.Piece != p.Piece || x.At.Incarnation != p.At.Incarnation {
			return a
		}
		x.At.Index = min(x.At.Index, p.At.Index)
	}
	return &l
}

// append adds a round to the ring.
func (s *source) append(r *round) error {
	s.note(r)
	s.mu.Lock()
	s.at, s.asOf = r.after, r.asOf
	if len(r.parts) > 0 {
		n := s.nextLocked()
		s.ring = append(s.ring, r)
		s.bytes += r.bytes
		s.hub.ringBytes.Add(int64(r.bytes))
		for _, v := range s.views {
			v.told(n, r)
		}
		s.trimLocked(MaxRingBytes)
	}
	s.mu.Unlock()
	if s.hub.ringBytes.Load() > MaxRingsBytes {
		s.hub.shrink()
	}
	return nil
}

// nextLocked is the number of the round to come.
func (s *source) nextLocked() uint64 { return s.first + uint64(len(s.ring)) }

// trimLocked makes the ring as small as that. It keeps the newest round.
func (s *source) trimLocked(most int) {
	n := 0
	for ; s.bytes > most && n < len(s.ring)-1; n++ {
		s.bytes -= s.ring[n].bytes
		s.hub.ringBytes.Add(-int64(s.ring[n].bytes))
	}
	if n == 0 {
		return
	}
	s.first += uint64(n)
	s.ring = slices.Delete(s.ring, 0, n)
	for _, v := range s.views {
		v.forget(s.first)
	}
}

// placeLocked returns the number of the first round that a watcher at the position needs. It is false if the source does not have all that
// comes after the position.
func (s *source) placeLocked(at *cursor.Cursor) (uint64, bool) {
	if !s.opened || s.err != nil {
		return 0, false
	}
	if s.at.Before(at) {
		return s.nextLocked(), true
	}
	// The rounds before this one are those that begin at or before the position.
	n := sort.Search(len(s.ring), func(i int) bool { return !s.ring[i].before.Before(at) })
	if n == 0 {
		return 0, false
	}
	return s.first + uint64(n-1), true
}

// wakeLocked wakes all watchers.
func (s *source) wakeLocked() {
	for _, v := range s.views {
		v.wake()
	}
}

// viewLocked returns the view for a key, which a watcher joins.
func (s *source) viewLocked(k viewKey) *view {
	v := s.views[k]
	if v == nil {
		v = &view{viewKey: k, changed: make(chan struct{}), rendered: map[uint64][]*api.WatchBatch{}}
		v.wanted = v.wantedIn(s)
		s.views[k] = v
	}
	v.watchers++
	return v
}

// leaveLocked lets a watcher go.
func (s *source) leaveLocked(v *view) {
	if v.watchers--; v.watchers == 0 {
		delete(s.views, v.viewKey)
	}
}
