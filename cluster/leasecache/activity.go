package leasecache

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Activity is what a cache has done since it was made, and what it holds now.
type Activity struct {
	// Leased, Owner and Stale count keys read, by what served them. Revoked counts leases that owners have asked back.
	Leased, Owner, Stale, Revoked uint64
	// LeasedTimed and StaleTimed are samples of the reads that leases and copies of some age answered.
	LeasedTimed, StaleTimed Timed
	// Keys and Bytes are cached.
	Keys, Bytes int64
	// Sessions are open, and Usable those of them whose term is running.
	Sessions, Usable int
	// Servers are those that have answered a keep-alive, by name.
	Servers []ServerAnswers
}

// ServerAnswers is how a server answers keep-alives.
type ServerAnswers struct {
	Node api.NodeID
	// RoundTrip is the shortest of the last answersKept.
	RoundTrip time.Duration
	// Silent is how long ago it has answered.
	Silent time.Duration
}

// Activity returns what the cache does. It does not block.
func (c *Cache) Activity() Activity {
	m := c.meter
	a := Activity{Leased: m.leased(), Owner: m.owner.Load(), Stale: m.stale.Load(), Revoked: m.revocations.Load(), LeasedTimed: m.timing.leased.sum(), StaleTimed: m.timing.stale.sum()}
	a.Bytes, a.Keys, _ = c.entries.room.size()
	a.Sessions, a.Usable = c.countSessions()
	now := time.Now()
	c.mu.RLock()
	defer c.mu.RUnlock()
	for id, p := range c.peers {
		if took, silent, ok := p.answers.shortest(now); ok {
			a.Servers = append(a.Servers, ServerAnswers{id, took, silent})
		}
	}
	slices.SortFunc(a.Servers, func(a, b ServerAnswers) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return a
}

// answersKept is how many round trips to a server are kept: the shortest of them has met no queue.
const answersKept = 8

// answers are the newest round trips to a server. It is safe for concurrent use, and its zero value works.
type answers struct {
	mu   sync.Mutex
	took [answersKept]time.Duration // guarded by mu: a ring
	n    int                        // guarded by mu: answers so far
	last time.Time                  // guarded by mu
}

// add records an answer.
func (a *answers) add(took time.Duration, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.took[a.n%answersKept] = took
	a.n++
	a.last = now
}

// shortest returns the shortest round trip that is kept, and how long ago the newest was; false if there was none.
func (a *answers) shortest(now time.Time) (took, silent time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n == 0 {
		return 0, 0, false
	}
	return slices.Min(a.took[:min(a.n, answersKept)]), now.Sub(a.last), true
}
