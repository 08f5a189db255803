package resp

import (
	"container/list"
	"math/rand/v2"
	"sync"

	"github.com/edgehold/edgehold/api"
)

const (
	// maxCursors bounds the cursors of SCAN that a node remembers, and maxCursorBytes what they hold. The one that was not used for
	// the longest time is forgotten first.
	maxCursors     = 16384
	maxCursorBytes = 4 << 20
	// cursorBits is how large a cursor may be: clients in JavaScript keep it as a number.
	cursorBits = 53
)

// cursors remembers where scans go on. A cursor of Redis is a number, and has no room for a key. The cursors of a server are known to
// all its connections, as clients with a pool continue a scan on any of them. It is safe for concurrent use.
type cursors struct {
	mu    sync.Mutex
	of    map[uint64]*list.Element  // guarded by mu, as all here: by cursor
	at    map[api.Key]*list.Element // by position
	order list.List                 // of *cursor, that used last at the front
	bytes int
}

// cursor is a scan that goes on behind a key.
type cursor struct {
	id  uint64
	key api.Key
}

// put returns the cursor of a position. The same position has the same cursor while it is remembered.
func (s *cursors) put(k api.Key) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of, s.at = map[uint64]*list.Element{}, map[api.Key]*list.Element{}
	}
	if e := s.at[k]; e != nil {
		s.order.MoveToFront(e)
		return e.Value.(*cursor).id
	}
	id := uint64(0)
	for id == 0 || s.of[id] != nil {
		id = rand.Uint64N(1 << cursorBits) // no secret: rights are checked at each list
	}
	e := s.order.PushFront(&cursor{id, k})
	s.of[id], s.at[k] = e, e
	for s.bytes += len(k); len(s.of) > maxCursors || s.bytes > maxCursorBytes; {
		old := s.order.Remove(s.order.Back()).(*cursor)
		delete(s.of, old.id)
		delete(s.at, old.key)
		s.bytes -= len(old.key)
	}
	return id
}

// get returns the position of a cursor.
func (s *cursors) get(id uint64) (k api.Key, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.of[id]
	if e == nil {
		return "", false
	}
	s.order.MoveToFront(e)
	return e.Value.(*cursor).key, true
}
