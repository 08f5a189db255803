package leasecache

import (
	"slices"
	"strings"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// entries holds the leased entries in shards. Lookups take no mutex. Changes take the shard's mutex, and the room's.
type entries struct {
	hasher hasher
	meter  *meter
	shards [1 << shardBits]shard
	room   room
}

// shardBits is the number of hash bits that select the shard.
const shardBits = 6

type shard struct {
	table table

	mu      sync.Mutex
	fences  fences
	stats   readStats
	flights flights
	_       [64]byte // keeps memory that one core writes off the cache lines that another reads
}

func newEntries(cfg Config, m *meter) *entries {
	c := &entries{hasher: newHasher(cfg.Nonce), meter: m}
	c.room.maxBytes, c.room.maxEntries, c.room.maxAbsent = cfg.MaxBytes, int64(cfg.MaxEntries), int64(cfg.MaxAbsent)
	for i := range c.shards {
		s := &c.shards[i]
		s.table.init()
		s.fences = newFences(cfg.MaxFences / len(c.shards))
		s.stats = newReadStats(2*cfg.MaxEntries/len(c.shards), cfg.GrantAfter, cfg.CoolDown)
		s.flights = newFlights()
	}
	return c
}

func (c *entries) shard(hash uint64) *shard { return &c.shards[hash&(1<<shardBits-1)] }

// get returns the entry of the key, usable or not, or nil.
func (c *entries) get(hash uint64, k api.Key) *entry { return c.shard(hash).table.get(hash, k) }

// outcome is the outcome of a grant.
type outcome uint8

const (
	installed outcome = iota
	fenced            // given up before it came
	outdated          // the session is over, or a newer state is cached
	declined          // too big for the cache, or of no use
)

// install caches the state that a grant to s returned, with its lease and deadline, unless the lease was given up in the meantime. A
// grant that is not installed is given up and released, unless the session is over or has a newer lease here. Entries
// that have to make room are given up and released as well.
func (c *entries) install(s *session, got api.Entry, lid ident.LeaseID, deadline uint64, now words.ClockSample) outcome {
	e := &entry{
		hash:    c.hasher.hash(got.Key),
		key:     api.Key(strings.Clone(string(got.Key))),
		value:   slices.Clone(got.Value), // holds no more memory than is accounted for
		version: got.Version,
		session: s,
		lease:   lid,
		exists:  got.Exists,
	}
	e.deadline.Store(deadline)
	o, left := c.shard(e.hash).admit(c, e, now)
	for _, v := range left {
		c.evict(v, now)
	}
	return o
}

// refused notes that the owner granted no lease on the key.
func (c *entries) refused(k api.Key, now words.ClockSample) {
	hash := c.hasher.hash(k)
	sh := c.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.stats.refused(hash, now)
}

// decline returns a lease that was granted and cannot be used.
func (c *entries) decline(s *session, k api.Key, lid ident.LeaseID, now words.ClockSample) {
	hash := c.hasher.hash(k)
	sh := c.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.stats.refused(hash, now)
	sh.decline(c, s, hash, k, lid)
}

// admit applies the rule of the fence: the session must be current, and the lease must be above the fence, the floor
// and the lease that it replaces. It returns the entries that have left the room for e.
func (s *shard) admit(c *entries, e *entry, now words.ClockSample) (outcome, []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.table.get(e.hash, e.key)
	switch {
	case e.session.ended() || old != nil && old.session == e.session && e.lease <= old.lease:
		return outdated, nil
	case guardFence && s.fences.holds(e.hash, e.session, e.lease):
		s.decline(c, e.session, e.hash, e.key, e.lease)
		return fenced, nil
	case old != nil && e.version.Compare(old.version) < 0:
		s.decline(c, e.session, e.hash, e.key, e.lease)
		return outdated, nil
	case !c.room.fits(e):
		s.stats.refused(e.hash, now)
		s.decline(c, e.session, e.hash, e.key, e.lease)
		return declined, nil
	}
	if old != nil {
		e.freq.Store(old.freq.Load())
	}
	left := c.room.admit(e, old, s.stats.installed(e.hash, now))
	if old != nil {
		s.takeOut(old)
	}
	s.table.put(e)
	e.session.held.Add(1)
	return installed, left
}

// takeOut removes an entry from the table. The caller holds the shard's mutex.
func (s *shard) takeOut(e *entry) {
	e.gone.Store(true)
	s.table.remove(e)
	e.session.held.Add(-1)
}

// giveUp gives up the lease of ses on the key up to lid, in one step for all other goroutines: it removes the entry
// that rests on the lease, and no grant of the lease that is still on its way will be installed. Every lease is given
// up here. Only after that is a revocation acknowledged, a write sent that names the lease as dropped, or the lease
// released: the owner lets the key be written as soon as it receives any of these. giveUp returns the entry that it
// removed, or nil. The caller holds the shard's mutex.
func (s *shard) giveUp(c *entries, ses *session, hash uint64, k api.Key, lid ident.LeaseID) *entry {
	e := s.table.get(hash, k)
	if e != nil && e.session == ses && e.lease <= lid {
		s.takeOut(e)
		c.room.remove(e)
	} else {
		e = nil
	}
	s.fences.raise(hash, ses, lid)
	return e
}

// decline gives up and releases a lease that was granted and is not installed. There may be an entry under an earlier
// lease: the release ends that lease too. The caller holds the shard's mutex.
func (s *shard) decline(c *entries, ses *session, hash uint64, k api.Key, lid ident.LeaseID) {
	if guardDeclineDrops {
		s.giveUp(c, ses, hash, k, lid)
	} else {
		s.fences.raise(hash, ses, lid)
	}
	ses.release(k, lid)
}

// revoke gives up the leases of s on the key up to lid, including those of all grants that are still on their way.
func (c *entries) revoke(s *session, k api.Key, lid ident.LeaseID, now words.ClockSample) {
	hash := c.hasher.hash(k)
	sh := c.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if e := sh.giveUp(c, s, hash, k, lid); e != nil {
		sh.stats.ended(hash, now, e.served.Load())
	} else {
		sh.stats.written(hash)
	}
}

// selfDrop gives up the cached entry of a key that this node is about to write. It returns nil if there is none.
func (c *entries) selfDrop(k api.Key, clock words.Clock) *entry {
	hash := c.hasher.hash(k)
	sh := c.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.table.get(hash, k)
	if e == nil {
		sh.stats.written(hash)
		return nil
	}
	sh.stats.ended(hash, clock.Now(), e.served.Load())
	return sh.giveUp(c, e.session, hash, k, e.lease)
}

// evict gives up and releases an entry that has left the room, unless it was given up for another reason meanwhile.
func (c *entries) evict(e *entry, now words.ClockSample) {
	sh := c.shard(e.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if e.gone.Load() {
		return
	}
	if guardReleaseAfterDrop {
		sh.giveUp(c, e.session, e.hash, e.key, e.lease)
	}
	sh.stats.evicted(e.hash, now)
	c.meter.evictions.Add(1)
	e.session.release(e.key, e.lease)
}

// hottestOf returns up to limit entries of a session. Entries that eviction would take last come first.
func (c *entries) hottestOf(s *session, limit int) []*entry {
	var all []*entry
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		sh.table.each(func(e *entry) {
			if e.session == s {
				all = append(all, e)
			}
		})
		sh.mu.Unlock()
	}
	slices.SortStableFunc(all, func(a, b *entry) int {
		if fa, fb := a.freq.Load(), b.freq.Load(); fa != fb {
			return int(fb) - int(fa)
		}
		return int(b.served.Load()) - int(a.served.Load())
	})
	return all[:min(len(all), limit)]
}
