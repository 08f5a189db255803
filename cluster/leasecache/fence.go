package leasecache

import (
	"github.com/edgehold/edgehold/fsm/ident"
)

// fences remembers, for the keys of one shard, the highest lease that was given up: revoked, self-dropped or evicted. A
// grant at or below that lease must not be installed, since a revocation may overtake the grant that it ends.
//
// Keys are identified by their hash. Two keys that collide share the higher fence, which refuses too much and never too
// little. The same holds for the bound: a fence that is forgotten raises the floor of its session. The shard's mutex
// guards fences.
type fences struct {
	limit int
	byKey map[uint64]*fence
	// oldest and newest are the ends of a list ordered by when each fence was last raised.
	oldest, newest *fence
}

type fence struct {
	hash         uint64
	session      *session
	lease        ident.LeaseID
	older, newer *fence
}

func newFences(limit int) fences {
	return fences{limit: max(1, limit), byKey: make(map[uint64]*fence)}
}

// raise fences the key against leases of s up to lid.
func (f *fences) raise(hash uint64, s *session, lid ident.LeaseID) {
	n := f.byKey[hash]
	switch {
	case n == nil:
		if len(f.byKey) >= f.limit {
			f.forget(f.oldest)
		}
		n = &fence{hash: hash, session: s, lease: lid}
		f.byKey[hash] = n
	case n.session != s:
		// The key has moved between groups, or another key collides with it.
		n.session.raiseFloor(n.lease)
		n.session, n.lease = s, lid
		f.unlink(n)
	default:
		n.lease = max(n.lease, lid)
		f.unlink(n)
	}
	n.older, n.newer = f.newest, nil
	if f.newest != nil {
		f.newest.newer = n
	} else {
		f.oldest = n
	}
	f.newest = n
}

// holds reports whether lid of s is at or below a lease that was given up.
func (f *fences) holds(hash uint64, s *session, lid ident.LeaseID) bool {
	if uint64(lid) <= s.floor.Load() {
		return true
	}
	n := f.byKey[hash]
	return n != nil && n.session == s && lid <= n.lease
}

func (f *fences) forget(n *fence) {
	n.session.raiseFloor(n.lease) // before the fence is removed
	f.unlink(n)
	delete(f.byKey, n.hash)
}

func (f *fences) unlink(n *fence) {
	if n.older != nil {
		n.older.newer = n.newer
	} else {
		f.oldest = n.newer
	}
	if n.newer != nil {
		n.newer.older = n.older
	} else {
		f.newest = n.older
	}
}
