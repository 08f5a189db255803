package edge

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
)

// entry is a key's state under one lease. What a reader takes from it never changes; a new state is a new entry, and one
// that was removed is never put back. So "still cached" is: not gone.
type entry struct {
	hash    uint64
	key     api.Key
	value   []byte
	version api.Version
	session *session
	lease   api.LeaseID
	exists  bool

	gone   atomic.Bool   // set under the shard's mutex when it leaves the cache
	listed atomic.Bool   // stands in its shard's list of keys with new hits
	freq   atomic.Uint32 // reads since the eviction last looked, at most maxFreq
	hits   atomic.Uint64 // reads served by this lease; estimated once they are many

	// Guarded by the shard's mutex.
	prev, next *entry
	queue      *queue
	reported   uint64 // hits that keep-alives have already told
}

// entryOverhead is what an entry costs beside its key and value: itself, its places in the table, its fence and tally.
const entryOverhead = 256

func (e *entry) size() int64 { return sizeOf(e.key, e.value) }

func sizeOf(k api.Key, v []byte) int64 { return int64(len(k)) + int64(len(v)) + entryOverhead }

// servable tells whether the entry may answer a linearizable read whose clock sample is t, taken after the entry was
// looked up and after the read arrived. What is gone was given up, perhaps before t.
func (e *entry) servable(t api.ClockSample) bool { return !e.gone.Load() && e.session.usable(t) }

// age is how long before now the entry was last known to be current.
func (e *entry) age(now api.ClockSample) time.Duration { return e.session.age(now) }

// dropped names the lease as one that was given up.
func (e *entry) dropped() api.DroppedLease {
	return api.DroppedLease{Group: e.session.group.id, Session: e.session.id, Key: e.key, Lease: e.lease}
}

// answer fills out for a read of k, the caller's own copy of the key.
func (e *entry) answer(k api.Key, out *api.Entry) {
	*out = api.Entry{Key: k, Value: e.value, Version: e.version, Exists: e.exists}
}

// maxFreq bounds freq: three reads more than the hand of the eviction has passed keep an entry as long as thousand.
const maxFreq = 3

// touch notes a read. Readers of one hot key on many cores must not fight for its memory: freq is seldom written, and
// hits is counted exactly while they are few, then by one read in many for all of them.
func (e *entry) touch(s *shard) {
	if f := e.freq.Load(); f < maxFreq {
		e.freq.Store(f + 1)
	}
	switch n := e.hits.Load(); {
	case n < 64:
		e.hits.Add(1)
	case n < 4096:
		e.sample(16)
	default:
		e.sample(256)
	}
	if !e.listed.Load() {
		s.hot.list(e)
	}
}

func (e *entry) sample(one uint32) {
	if rand.Uint32()&(one-1) == 0 {
		e.hits.Add(uint64(one))
	}
}
