package edge

import "sync/atomic"

// queue is a list of entries in the order in which they came. Guarded by the shard's mutex.
type queue struct {
	front, back *entry
	all         *atomic.Int64 // bytes in the queues of this kind in all shards
}

func (q *queue) push(e *entry) {
	e.queue, e.prev, e.next = q, q.back, nil
	if q.back != nil {
		q.back.next = e
	} else {
		q.front = e
	}
	q.back = e
	q.all.Add(e.size())
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
	q.all.Add(-e.size())
}

// queues order a shard's entries for eviction, by S3-FIFO: what is new waits in a small queue and moves on to the main
// one only if it is read again there, so that keys that come once, as in a scan, push out each other and not what is read
// all the time. In the main queue every read since the last visit, at most maxFreq of them, is another round. The small
// queues of all shards together are a tenth of the cache. Absent keys have a queue of their own, so that their share is
// bounded.
type queues struct {
	small, main, absent queue
}

// kinds are the bytes in the queues of each kind, over all shards.
type kinds struct{ small, main, absent atomic.Int64 }

func newQueues(k *kinds) queues {
	return queues{small: queue{all: &k.small}, main: queue{all: &k.main}, absent: queue{all: &k.absent}}
}

// victimSteps bounds the search for a victim in one shard.
const victimSteps = 256

// smallVictim picks the newcomer to evict next, and sends those that were read again on to the main queue. It returns
// nil where no newcomer is left. The victim stays where it is.
func (q *queues) smallVictim() *entry {
	for e := q.small.front; e != nil; e = q.small.front {
		if e.freq.Load() == 0 {
			return e
		}
		e.freq.Store(0)
		q.small.remove(e)
		q.main.push(e)
	}
	return nil
}

func (q *queues) mainVictim() *entry { return q.main.victim() }

func (q *queues) absentVictim() *entry { return q.absent.victim() }

// victim picks the first that was not read since the last round; others go another round for one read less.
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
