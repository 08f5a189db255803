package edge

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
)

// cache holds the leased entries in shards. Lookups take no mutex; changes take their shard's, and no other.
type cache struct {
	hasher hasher
	meter  *meter
	shards [1 << shardBits]shard

	maxBytes, maxEntries, maxAbsent int64
	// What is cached and what has been reserved for it.
	bytes, entries, absent atomic.Int64
	kinds                  kinds
	hand                   atomic.Uint64 // the shard that evicts next
}

// shardBits of a hash choose the shard.
const shardBits = 6

type shard struct {
	table table

	mu      sync.Mutex
	queues  queues
	fences  fences
	tally   tally
	flights flights
	_       [64]byte // what one core writes here is not what another reads there
}

func newCache(cfg Config, m *meter) *cache {
	c := &cache{
		hasher:     newHasher(cfg.Nonce),
		meter:      m,
		maxBytes:   cfg.MaxBytes,
		maxEntries: int64(cfg.MaxEntries),
		maxAbsent:  int64(cfg.MaxAbsent),
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.table.init()
		s.queues = newQueues(&c.kinds)
		s.fences = newFences(cfg.MaxFences / len(c.shards))
		s.tally = newTally(2*cfg.MaxEntries/len(c.shards), cfg.GrantAfter, cfg.CoolDown)
		s.flights = newFlights()
	}
	return c
}

func (c *cache) shard(hash uint64) *shard { return &c.shards[hash&(1<<shardBits-1)] }

// get returns the entry of the key, usable or not, or nil.
func (c *cache) get(hash uint64, k api.Key) *entry { return c.shard(hash).table.get(hash, k) }

// outcome says what became of a grant.
type outcome uint8

const (
	installed outcome = iota
	fenced            // given up before it came
	outdated          // the session is over, or a newer state is cached
	declined          // too big, or no room
)

// install caches what a grant to s returned, unless it was given up in the meantime. The lease is in got.Lease. What had
// to make room, and the grant itself where it was declined, is given up and left to its group to release.
func (c *cache) install(s *session, got api.Entry, now api.ClockSample) outcome {
	e := &entry{
		hash:    c.hasher.hash(got.Key),
		key:     api.Key(strings.Clone(string(got.Key))),
		value:   slices.Clone(got.Value), // no more memory is held than is accounted for
		version: got.Version,
		session: s,
		lease:   got.Lease,
		exists:  got.Exists,
	}
	if !c.reserve(e, now) {
		c.decline(e, now)
		return declined
	}
	o := c.shard(e.hash).admit(c, e, now)
	if o != installed {
		c.unreserve(e)
	}
	return o
}

// admit is the rule of the fence: the session is current and the lease above fence, floor and the one it replaces.
func (s *shard) admit(c *cache, e *entry, now api.ClockSample) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.session.ended() {
		return outdated
	}
	if guardFence && s.fences.holds(e.hash, e.session, e.lease) {
		return fenced
	}
	old := s.table.get(e.hash, e.key)
	if old != nil {
		if old.session == e.session && e.lease <= old.lease || e.version.Compare(old.version) < 0 {
			return outdated
		}
		e.freq.Store(old.freq.Load())
	}
	q := &s.queues.small
	if returned := s.tally.installed(e.hash, now); returned || old != nil && old.queue == &s.queues.main {
		q = &s.queues.main
	}
	if !e.exists {
		q = &s.queues.absent
	}
	if old != nil {
		s.remove(c, old)
	}
	q.push(e)
	s.table.put(e)
	return installed
}

// remove takes an entry out; the caller holds the mutex and sees to the fence.
func (s *shard) remove(c *cache, e *entry) {
	e.gone.Store(true)
	s.table.remove(e)
	e.queue.remove(e)
	c.unreserve(e)
}

// drop removes an entry and raises the fence to its lease, in one step for everybody else: from here on it is given up.
func (s *shard) drop(c *cache, e *entry) {
	s.remove(c, e)
	s.fences.raise(e.hash, e.session, e.lease)
}

// revoke gives up the leases of s on the key up to lid, now and for all grants that are still on their way.
func (c *cache) revoke(s *session, k api.Key, lid api.LeaseID, now api.ClockSample) {
	hash := c.hasher.hash(k)
	sh := c.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	switch e := sh.table.get(hash, k); {
	case e == nil:
		sh.tally.written(hash)
	case e.session == s && e.lease <= lid:
		sh.tally.ended(hash, now, e.served.Load())
		sh.drop(c, e)
	}
	sh.fences.raise(hash, s, lid)
}

// selfDrop gives up whatever is cached of a key that this node is about to write.
func (c *cache) selfDrop(k api.Key, clock api.Clock) (d api.DroppedLease, g *group, held bool) {
	hash := c.hasher.hash(k)
	sh := c.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.table.get(hash, k)
	if e == nil {
		sh.tally.written(hash)
		return d, nil, false
	}
	sh.tally.ended(hash, clock.Now(), e.served.Load())
	sh.drop(c, e)
	return e.dropped(), e.session.group, !e.session.ended()
}

// decline gives up a grant that is not installed for want of room.
func (c *cache) decline(e *entry, now api.ClockSample) {
	sh := c.shard(e.hash)
	sh.mu.Lock()
	sh.tally.refused(e.hash, now)
	sh.fences.raise(e.hash, e.session, e.lease)
	sh.mu.Unlock()
	e.session.release(e)
}

// reserve makes room for e. What it evicts is given up and released.
func (c *cache) reserve(e *entry, now api.ClockSample) bool {
	if e.size() > c.maxBytes/8 {
		return false
	}
	c.bytes.Add(e.size())
	c.entries.Add(1)
	if !e.exists {
		c.absent.Add(1)
	}
	for c.absent.Load() > c.maxAbsent {
		if !c.evict((*queues).absentVictim, now) {
			c.unreserve(e)
			return false
		}
	}
	for c.bytes.Load() > c.maxBytes || c.entries.Load() > c.maxEntries {
		if !c.evictAny(now) {
			c.unreserve(e)
			return false
		}
	}
	return true
}

func (c *cache) unreserve(e *entry) {
	c.bytes.Add(-e.size())
	c.entries.Add(-1)
	if !e.exists {
		c.absent.Add(-1)
	}
}

// evictAny gives up one entry, of the newcomers where they are over a tenth.
func (c *cache) evictAny(now api.ClockSample) bool {
	if small := c.kinds.small.Load(); small*10 > small+c.kinds.main.Load() && c.evict((*queues).smallVictim, now) {
		return true
	}
	return c.evict((*queues).mainVictim, now) || c.evict((*queues).smallVictim, now) || c.evict((*queues).absentVictim, now)
}

// evict gives up one entry, in the shard whose turn it is or the next that has one; false where none has.
func (c *cache) evict(pick func(*queues) *entry, now api.ClockSample) bool {
	for range len(c.shards) {
		s := &c.shards[c.hand.Add(1)%uint64(len(c.shards))]
		if e := s.evict(c, pick, now); e != nil {
			c.meter.evictions.Add(1)
			e.session.release(e)
			return true
		}
	}
	return false
}

func (s *shard) evict(c *cache, pick func(*queues) *entry, now api.ClockSample) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := pick(&s.queues)
	if e != nil {
		s.tally.evicted(e.hash, now)
		s.drop(c, e)
	}
	return e
}

// hottestOf returns up to limit entries of a session, those first that eviction would take last.
func (c *cache) hottestOf(s *session, limit int) []*entry {
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
