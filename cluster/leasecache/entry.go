package leasecache

import (
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// entry is a key's state under one lease. The fields that a reader takes from it never change. A new state is a new
// entry, and an entry that was removed is never put back. So an entry that is not gone is still cached.
type entry struct {
	hash    uint64
	key     api.Key
	value   []byte
	version api.Version
	session *session
	lease   ident.LeaseID
	exists  bool
	// deadline is when the key is to be absent, in milliseconds of the group's time, or 0 if it has no deadline. It only rises.
	deadline atomic.Uint64

	gone   atomic.Bool   // set under the shard's mutex when the entry leaves the cache
	freq   atomic.Uint32 // reads since eviction last visited the entry, at most maxFreq
	served atomic.Uint32 // reads that this lease served, at most maxServed

	// The room's mutex guards these. queue is nil once the entry has left the room.
	prev, next *entry
	queue      *queue
}

// entryOverhead is what an entry costs beside its key and value: itself, its places in the table, its fence and its
// counts.
const entryOverhead = 256

func (e *entry) size() int64 { return sizeOf(e.key, e.value) }

func sizeOf(k api.Key, v []byte) int64 { return int64(len(k)) + int64(len(v)) + entryOverhead }

// servable reports whether the entry may answer a linearizable read whose clock sample is t. The sample must be taken
// after the entry was looked up and after the read arrived. An entry that is gone was given up, perhaps before t.
func (e *entry) servable(t words.ClockSample) bool {
	return !e.gone.Load() && e.session.usable(t) && !e.overdue(t)
}

// age returns how long before now the entry was last known to be current.
func (e *entry) age(now words.ClockSample) time.Duration { return e.session.age(now) }

// answer fills out for a read of k, the caller's own copy of the key, at the sample.
func (e *entry) answer(k api.Key, t words.ClockSample, out *api.Entry) {
	*out = api.Entry{Key: k, Value: e.value, Version: e.version, Exists: e.exists, TTL: e.ttl(t)}
}

// maxFreq bounds freq: three more reads than visits of eviction keep an entry as long as a thousand do.
const maxFreq = 3

// maxServed bounds served: a lease that has served that many reads has paid in any case.
const maxServed = maxGrantAfter

// touch notes a read. Readers of one hot key on many cores must not contend for its memory. So both counts are bounded,
// and are no longer written once they have reached their bounds. Reads at the same instant may be counted as one.
func (e *entry) touch() {
	if f := e.freq.Load(); f < maxFreq {
		e.freq.Store(f + 1)
	}
	if n := e.served.Load(); n < maxServed {
		e.served.Store(n + 1)
	}
}
