package leasecache

import (
	"math/bits"
	"time"

	"github.com/edgehold/edgehold/cluster/words"
)

// readStats counts the reads of keys that are not cached, from when this node last saw the key written or its lease
// revoked. It remembers the keys whose leases did not pay. It is a table of keys by hash, in sets of eight. The table
// doubles, up to its limit, when a set has no place for a new key. After that a new key replaces the least read one of
// its set, so that a scan costs the table little. readStats decides only whether a lease is worth requesting, never whether one may be used. The shard's mutex
// guards it.
type readStats struct {
	sets       [][setSize]count
	limit      int    // of sets
	turn       uint32 // counted reads, by which counts age
	turnover   uint32 // reads in which the table sees about as many keys as it has places
	grantAfter int32
	coolDown   time.Duration
}

type count struct {
	tag     uint32 // of the hash; 0 is an empty place
	turn    uint32 // when it was last read
	since   uint32 // second of BOOTTIME from which level cools down
	reads   int32  // below 0 after refusals
	level   uint8  // how often grantAfter doubles
	refused uint8  // lease requests in a row that were not granted
	kept    bool   // was evicted a while ago: it is not a newcomer
}

const (
	setSize    = 8
	maxLevel   = 6
	maxReads   = 1 << 20
	maxRefused = 7 // then one lease request every 64 reads
)

func newReadStats(places, grantAfter int, coolDown time.Duration) readStats {
	t := readStats{
		limit:      1 << bits.Len(uint(max(places, 2*setSize)/setSize-1)),
		grantAfter: int32(grantAfter),
		coolDown:   coolDown,
	}
	t.resize(min(t.limit, 4))
	return t
}

// resize moves all counts into a table of n sets. n is not less than the current number.
func (t *readStats) resize(n int) {
	old := t.sets
	t.sets, t.turnover = make([][setSize]count, n), uint32(n*setSize)
	for _, set := range old {
		for _, c := range set {
			if c.tag != 0 {
				*empty(t.set(c.tag)) = c
			}
		}
	}
}

// set returns the set of the tag. Sets split as the table doubles, so that the counts of a set always find room.
func (t *readStats) set(tag uint32) *[setSize]count { return &t.sets[int(tag>>1)&(len(t.sets)-1)] }

func tagOf(hash uint64) uint32 { return uint32(hash>>32) | 1 }

func empty(set *[setSize]count) *count {
	i := 0
	for set[i].tag != 0 {
		i++
	}
	return &set[i]
}

// read counts a read that found no usable lease. It reports whether to request one now.
func (t *readStats) read(hash uint64, now words.ClockSample) bool {
	c := t.at(hash, now)
	c.reads = min(c.reads+1, maxReads)
	return c.reads >= t.grantAfter<<c.level
}

// refused notes that the owner granted no lease. The owner may count reads of its own. So it is asked again with the
// next read, then after two more, then after four more, and so on.
func (t *readStats) refused(hash uint64, now words.ClockSample) {
	c := t.at(hash, now)
	c.refused = min(c.refused+1, maxRefused)
	c.reads = t.grantAfter<<c.level - 1<<(c.refused-1)
}

// installed notes that the key is cached. It reports whether the key was cached before, a while ago.
func (t *readStats) installed(hash uint64, now words.ClockSample) (returned bool) {
	c := t.at(hash, now)
	returned = c.kept
	c.reads, c.refused, c.kept = 0, 0, false
	return returned
}

// evicted notes that the key was evicted to make room. If it comes back, that shows that it is read again and again.
func (t *readStats) evicted(hash uint64, now words.ClockSample) {
	c := t.at(hash, now)
	c.reads, c.kept = 0, true
}

// written notes that a key without a lease was written, here or elsewhere. For a key that has not been read there is
// nothing to note.
func (t *readStats) written(hash uint64) {
	tag := tagOf(hash)
	set := t.set(tag)
	for i := range set {
		if c := &set[i]; c.tag == tag {
			c.reads, c.refused = 0, 0
		}
	}
}

// ended notes that a write, here or elsewhere, ended the key's lease. If the lease had served fewer reads than a grant
// takes, the next grant takes twice as many.
func (t *readStats) ended(hash uint64, now words.ClockSample, served uint32) {
	c := t.at(hash, now)
	c.reads, c.refused = 0, 0
	switch {
	case served < uint32(t.grantAfter):
		c.level = min(c.level+1, maxLevel)
		c.since = seconds(now)
	case c.level > 0:
		c.level--
	}
}

// at returns the key's place, cooled down to now. It makes a new place if need be.
func (t *readStats) at(hash uint64, now words.ClockSample) *count {
	t.turn++
	tag := tagOf(hash)
	c := t.place(tag)
	for c.tag != tag && c.tag != 0 && len(t.sets) < t.limit {
		t.resize(2 * len(t.sets))
		c = t.place(tag)
	}
	if c.tag == tag {
		t.cool(c, now)
		c.turn = t.turn
	} else {
		*c = count{tag: tag, turn: t.turn, since: seconds(now)}
	}
	return c
}

// place returns the place of the tag in its set or, if it has none, the place that is empty or else worth least.
func (t *readStats) place(tag uint32) *count {
	set := t.set(tag)
	least := &set[0]
	for i := range set {
		c := &set[i]
		if c.tag == tag {
			return c
		}
		if t.worth(c) < t.worth(least) {
			least = c
		}
	}
	return least
}

// worth orders the places of a set: first by how often the key was read, halved with every turnover since, then by
// when.
func (t *readStats) worth(c *count) uint64 {
	if c.tag == 0 {
		return 0
	}
	idle := t.turn - c.turn
	reads := (uint64(max(c.reads, 0)) + uint64(c.level) + 1) >> min(idle/t.turnover, 31)
	return (reads+1)<<32 - uint64(idle)
}

func (t *readStats) cool(c *count, now words.ClockSample) {
	if c.level == 0 || t.coolDown <= 0 {
		return
	}
	steps := time.Duration(seconds(now)-c.since) * time.Second / t.coolDown
	if steps > 0 {
		c.level -= uint8(min(steps, time.Duration(c.level)))
		c.since = seconds(now)
	}
}

func seconds(t words.ClockSample) uint32 { return uint32(t.Boottime / time.Second) }
