package group

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// position is the place of a request in the queue for its keys. While it is queued, no younger transaction locks its
// keys. Without positions, a sequence of younger transactions, each of which locks keys that the one before it has
// released or shares with it, could keep an older request waiting for ever.
//
// A transaction, a single write, a read or a list has a position from when it first waits for intents until its answer. A
// read over several rounds keeps its position from one round to the next: see [words.Hold].
type position struct {
	ref           ident.TxnRef  // the age, limited to what this node accepts; and the transaction's ID, if it is one
	said          uint64        // the age as the gateway reports it; exactly the requests of one read or transaction share it
	written, read []api.Key     // sorted; written keys are in read, too
	list          *api.Range    // the range that a list reads, instead of keys, or the steps of a write, beside them
	firm          bool          // younger single writes are kept off, too
	grace         time.Duration // of a read or list: readGrace
	commits       bool          // of a read: a transaction will be committed on what it read
	queued        bool
	over          chan struct{} // closed when the position ends
}

// keyPosition is a position as seen from one of its keys.
type keyPosition struct {
	position *position
	writes   bool
}

// keptPosition is a position that a read keeps after an answer, and the time until which it keeps it.
type keptPosition struct {
	position *position
	until    time.Time
}

// queue holds the positions of one lead, by key. The authority's mutex guards it.
type queue struct {
	positions, keys int
	firm            int // number of firm positions
	byKey           map[api.Key][]keyPosition
	lists           []*position
	held            map[uint64][]*position // by the age that the gateway reports
	ending          []keptPosition         // ordered by until
}

// maxQueuedKeys bounds the keys of all positions.
const maxQueuedKeys = 1 << 18

func newQueue() queue {
	return queue{byKey: map[api.Key][]keyPosition{}, held: map[uint64][]*position{}}
}

// positionOf returns a position that is not queued yet. If ref has no age, the position is as old as this call.
func positionOf(ref ident.TxnRef, written, read []api.Key) *position {
	t := &position{ref: ref, said: ref.Age, written: written, read: read, over: make(chan struct{})}
	t.ref.Age = clamped(ref.Age)
	if t.said == 0 {
		t.said = t.ref.Age
	}
	return t
}

// before reports whether t goes before o. A read or a single write does not go before a position of its own age, since
// that may be the transaction for which it reads. That check compares the ages that the gateways report, which do not
// change. The accepted age of one request can change from call to call, if its gateway's clock is ahead of this
// node's or far behind.
func (t *position) before(o *position) bool {
	if !guardReadPosition && len(t.written) == 0 {
		return false
	}
	if t.ref.ID.IsZero() {
		return t.said != o.said && t.ref.Age < o.ref.Age+uint64(t.grace)
	}
	return t.ref.Older(o.ref)
}

// add queues the position. It returns false if there are too many. A waiting position has priority over kept ones,
// which are ended first to make room.
func (q *queue) add(t *position, most int) bool {
	if t.queued {
		return true
	}
	full := func() bool { return q.positions >= most || q.keys+len(t.read) > maxQueuedKeys }
	for full() && len(q.ending) > 0 {
		q.endOldest()
	}
	if full() {
		return false
	}
	t.queued = true
	q.positions, q.keys = q.positions+1, q.keys+len(t.read)
	if t.firm {
		q.firm++
	}
	if t.list != nil {
		q.lists = append(q.lists, t)
	}
	for _, k := range t.read {
		_, writes := slices.BinarySearch(t.written, k)
		q.byKey[k] = append(q.byKey[k], keyPosition{t, writes})
	}
	return true
}

// end ends the position, if it is queued.
func (q *queue) end(t *position) {
	if !t.queued {
		return
	}
	t.queued = false
	q.positions, q.keys = q.positions-1, q.keys-len(t.read)
	if t.firm {
		q.firm--
	}
	is := func(x keyPosition) bool { return x.position == t }
	for _, k := range t.read {
		if rest := slices.DeleteFunc(q.byKey[k], is); len(rest) > 0 {
			q.byKey[k] = rest
		} else {
			delete(q.byKey, k)
		}
	}
	if t.list != nil {
		q.lists = slices.DeleteFunc(q.lists, func(o *position) bool { return o == t })
	}
	close(t.over)
}

// hold keeps the position of a read for up to words.MaxHold after an answer.
func (q *queue) hold(t *position, now time.Time) {
	q.held[t.said] = append(q.held[t.said], t)
	q.ending = append(q.ending, keptPosition{t, now.Add(words.MaxHold)})
}

// endHeld ends the kept positions of the reads whose gateway reports that age, if ends returns true for the position.
func (q *queue) endHeld(said uint64, ends func(*position) bool) {
	kept := slices.DeleteFunc(q.held[said], func(t *position) bool {
		if ends(t) {
			q.end(t)
			return true
		}
		return false
	})
	if q.held[said] = kept; len(kept) == 0 {
		delete(q.held, said)
	}
}

// expire ends the kept positions whose time is over.
func (q *queue) expire(now time.Time) {
	for len(q.ending) > 0 && !now.Before(q.ending[0].until) {
		q.endOldest()
	}
}

// endOldest ends the position that has been kept for longest, unless it has ended already.
func (q *queue) endOldest() {
	t := q.ending[0].position
	q.ending = q.ending[1:]
	if t.queued {
		q.endHeld(t.said, func(o *position) bool { return o == t })
	}
}

// older returns a position before t that waits to write a key that t reads or writes, or to read a key that t writes.
func (q *queue) older(t *position) (older *position, key api.Key) {
	if q.positions == 0 {
		return nil, ""
	}
	for _, k := range t.read {
		_, writes := slices.BinarySearch(t.written, k)
		for _, x := range q.byKey[k] {
			if (writes || x.writes) && x.position.before(t) {
				return x.position, k
			}
		}
	}
	for _, o := range q.lists {
		i, _ := slices.BinarySearch(t.written, o.list.Start)
		if i < len(t.written) && o.list.Contains(t.written[i]) && o.before(t) {
			return o, t.written[i]
		}
	}
	return nil, ""
}

// olderCommits returns a position before t if a transaction will be committed on what that position has read of t's keys.
// What t read before that commit would be out of date.
func (q *queue) olderCommits(t *position) *position {
	for _, k := range t.read {
		for _, x := range q.byKey[k] {
			if x.position.commits && x.position.before(t) {
				return x.position
			}
		}
	}
	return nil
}

// olderRead returns a position before t with which a read keeps single writes off.
func (q *queue) olderRead(t *position) (older *position, key api.Key) {
	if q.firm == 0 {
		return nil, ""
	}
	for _, k := range t.written {
		for _, x := range q.byKey[k] {
			if x.position.firm && x.position.before(t) {
				return x.position, k
			}
		}
	}
	return nil, ""
}

// subset reports whether all keys of a are keys of b.
func subset(a, b []api.Key) bool {
	for len(a) > 0 && len(b) > 0 {
		if a[0] < b[0] {
			return false
		}
		if a[0] == b[0] {
			a = a[1:]
		}
		b = b[1:]
	}
	return len(a) == 0
}
