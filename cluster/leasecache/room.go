package leasecache

import "sync"

// queue is a list of entries in the order in which they came. The room's mutex guards it.
type queue struct {
	front, back    *entry
	bytes, entries int64
}

func (q *queue) push(e *entry) {
	e.queue, e.prev, e.next = q, q.back, nil
	if q.back != nil {
		q.back.next = e
	} else {
		q.front = e
	}
	q.back = e
	q.bytes += e.size()
	q.entries++
}

func (q *queue) remove(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		q.front = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		q.back = e.prev
	}
	e.queue, e.prev, e.next = nil, nil, nil
	q.bytes -= e.size()
	q.entries--
}

// victimSteps bounds the search for a victim in one queue.
const victimSteps = 256

// victim returns the first entry that was not read since the last round, or nil if the queue is empty. An entry that
// was read moves to the back with one read less.
func (q *queue) victim() *entry {
	for range victimSteps {
		e := q.front
		if e == nil {
			return nil
		}
		f := e.freq.Load()
		if f == 0 {
			return e
		}
		e.freq.Store(f - 1)
		q.remove(e)
		q.push(e)
	}
	return q.front
}

// room orders the entries of all shards for eviction and accounts for them. In one step under one mutex, an entry comes
// in and other entries leave to make room for it. So the account is exact, and every entry that fits finds room.
//
// The order is that of S3-FIFO. A new entry waits in a small queue, and moves on to the main queue only if it is read
// again there. So keys that come once, as in a scan, push out each other and not the keys that are read all the time.
// In the main queue each read since the last visit, up to maxFreq of them, gives the entry another round. The small
// queue is a tenth of the cache. Absent keys have a queue of their own, so that their share is bounded.
//
// The mutex of the room is taken while that of a shard is held, never the other way round.
type room struct {
	maxBytes, maxEntries, maxAbsent int64

	mu                  sync.Mutex
	small, main, absent queue
}

// fits reports whether there can be room for the entry. One entry must not take much of the cache.
func (r *room) fits(e *entry) bool { return e.size() <= r.maxBytes/8 && r.maxEntries > 0 }

// admit adds e, which fits. e replaces old unless old is nil. A key that returned after it had been evicted is not a
// newcomer. admit returns the entries that had to leave, and the caller evicts them.
func (r *room) admit(e, old *entry, returned bool) (left []*entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := &r.small
	if returned || old != nil && old.queue == &r.main {
		q = &r.main
	}
	if !e.exists {
		q = &r.absent
	}
	if old != nil && old.queue != nil {
		old.queue.remove(old)
	}
	leave := func(v *entry) {
		v.queue.remove(v)
		left = append(left, v)
	}
	for !e.exists && r.absent.entries >= r.maxAbsent {
		leave(r.absent.victim())
	}
	for r.bytes()+e.size() > r.maxBytes || r.entries() >= r.maxEntries {
		leave(r.victim())
	}
	q.push(e)
	return left
}

// remove removes e, unless it has left to make room for another entry.
func (r *room) remove(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.queue != nil {
		e.queue.remove(e)
	}
}

// victim returns the entry to evict next: a newcomer if newcomers take over a tenth. There is one, since the room is
// not empty.
func (r *room) victim() *entry {
	if r.small.bytes*10 > r.small.bytes+r.main.bytes { // also if there are newcomers and nothing else
		if e := r.newcomer(); e != nil {
			return e
		}
	}
	if e := r.main.victim(); e != nil {
		return e
	}
	return r.absent.victim()
}

// newcomer returns the newcomer to evict next, or nil if none is left. It moves newcomers that were read again to the
// main queue.
func (r *room) newcomer() *entry {
	for e := r.small.front; e != nil; e = r.small.front {
		if e.freq.Load() == 0 {
			return e
		}
		e.freq.Store(0)
		r.small.remove(e)
		r.main.push(e)
	}
	return nil
}

func (r *room) bytes() int64   { return r.small.bytes + r.main.bytes + r.absent.bytes }
func (r *room) entries() int64 { return r.small.entries + r.main.entries + r.absent.entries }

// size returns what the room holds: bytes, entries, and how many of the entries are of absent keys.
func (r *room) size() (bytes, entries, absent int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes(), r.entries(), r.absent.entries
}
