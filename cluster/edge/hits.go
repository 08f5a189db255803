package edge

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
)

// hotKeys is a shard's list of entries read since the last harvest. It is bounded; reads of what does not fit are told
// in a later round.
type hotKeys struct {
	full    atomic.Bool
	mu      sync.Mutex
	entries []*entry
}

const hotKeysPerShard = 64

func (h *hotKeys) list(e *entry) {
	if h.full.Load() || !h.mu.TryLock() {
		return // another read of it will be listed
	}
	defer h.mu.Unlock()
	if len(h.entries) < hotKeysPerShard && !e.listed.Load() {
		e.listed.Store(true)
		h.entries = append(h.entries, e)
		h.full.Store(len(h.entries) == hotKeysPerShard)
	}
}

func (h *hotKeys) take() []*entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	es := h.entries
	h.entries = nil
	h.full.Store(false)
	return es
}

// harvest gathers the hits since the last time, by group.
func (c *cache) harvest() map[*group][]api.KeyHits {
	var all map[*group][]api.KeyHits
	for i := range c.shards {
		s := &c.shards[i]
		es := s.hot.take()
		if len(es) == 0 {
			continue
		}
		if all == nil {
			all = make(map[*group][]api.KeyHits)
		}
		s.mu.Lock()
		for _, e := range es {
			e.listed.Store(false)
			if n := e.hits.Load(); n > e.reported {
				g := e.session.group
				all[g] = append(all[g], api.KeyHits{Key: e.key, Hits: uint32(min(n-e.reported, 1<<32-1))})
				e.reported = n
			}
		}
		s.mu.Unlock()
	}
	return all
}

// hitLog holds a group's hits until a keep-alive that carried them was answered. Safe for concurrent use.
type hitLog struct {
	mu     sync.Mutex
	rounds []hitRound // oldest first
	next   uint64
}

type hitRound struct {
	id   uint64
	hits []api.KeyHits
}

// maxHitRounds bounds what is kept for a group that does not answer; the oldest go.
const maxHitRounds = 4

func (l *hitLog) add(hits []api.KeyHits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	l.rounds = append(l.rounds, hitRound{id: l.next, hits: hottest(hits)})
	if len(l.rounds) > maxHitRounds {
		l.rounds = slices.Delete(l.rounds, 0, 1)
	}
}

// pending returns the hits to tell now and the newest round in them.
func (l *hitLog) pending() ([]api.KeyHits, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch len(l.rounds) {
	case 0:
		return nil, 0
	case 1:
		return l.rounds[0].hits, l.rounds[0].id
	}
	sum := make(map[api.Key]uint32)
	for _, r := range l.rounds {
		for _, h := range r.hits {
			sum[h.Key] += min(h.Hits, 1<<32-1-sum[h.Key])
		}
	}
	all := make([]api.KeyHits, 0, len(sum))
	for k, n := range sum {
		all = append(all, api.KeyHits{Key: k, Hits: n})
	}
	return hottest(all), l.rounds[len(l.rounds)-1].id
}

// told forgets the rounds up to id.
func (l *hitLog) told(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rounds = slices.DeleteFunc(l.rounds, func(r hitRound) bool { return r.id <= id })
}

// hottest orders hits, most first, and keeps as many as a keep-alive may carry.
func hottest(hits []api.KeyHits) []api.KeyHits {
	slices.SortFunc(hits, func(a, b api.KeyHits) int {
		if a.Hits != b.Hits {
			return cmp.Compare(b.Hits, a.Hits)
		}
		return cmp.Compare(a.Key, b.Key)
	})
	return slices.Clip(hits[:min(len(hits), api.MaxHits)])
}
