package group

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// turn is the place of a request in the queue for its keys. While it stands, no younger transaction locks them: else those
// that come one after the other, each of which may lock what the one before it has left or shares with it, would keep an
// older request waiting for ever.
//
// A transaction and a single write have a turn from when they first wait for intents until their answer, and so has a read or
// a list. A read over several rounds keeps it from one to the next: see [words.Hold].
type turn struct {
	ref           ident.TxnRef  // the age, as far as it is believed; and which transaction, if it is one
	said          uint64        // the age as the gateway says: all requests of one read or transaction have it, and no others
	written, read []api.Key     // sorted; what is written counts as read, too
	list          *api.Range    // what a list reads, in place of keys
	firm          bool          // it keeps younger single writes off, too
	grace         time.Duration // of a read or list: readGrace
	commits       bool          // of a read: a transaction is to be committed on it
	queued        bool
	over          chan struct{} // closed at its end
}

// keyTurn is a turn as one of its keys has it.
type keyTurn struct {
	turn   *turn
	writes bool
}

// keptTurn is a turn that a read keeps after an answer, and until when.
type keptTurn struct {
	turn  *turn
	until time.Time
}

// queue is the turns of one lead, by key. The authority's mutex guards it.
type queue struct {
	turns, keys int
	firm        int // of the turns
	byKey       map[api.Key][]keyTurn
	lists       []*turn
	held        map[uint64][]*turn // by the age that is said
	ending      []keptTurn         // in the order of their ends
}

// maxTurnKeys bounds the keys of all turns.
const maxTurnKeys = 1 << 18

func newQueue() queue {
	return queue{byKey: map[api.Key][]keyTurn{}, held: map[uint64][]*turn{}}
}

// turnOf is a turn that does not stand yet. Without an age it is as old as this call.
func turnOf(ref ident.TxnRef, written, read []api.Key) *turn {
	t := &turn{ref: ref, said: ref.Age, written: written, read: read, over: make(chan struct{})}
	t.ref.Age = clamped(ref.Age)
	if t.said == 0 {
		t.said = t.ref.Age
	}
	return t
}

// before reports whether t goes before o. A read, or a single write, does not go before one of its own age: that may be the
// transaction for which it reads. What a gateway says of an age stays the same; what is believed of it does not, if that
// gateway's clock is ahead of this node's or far behind.
func (t *turn) before(o *turn) bool {
	if !guardReadTurn && len(t.written) == 0 {
		return false
	}
	if t.ref.ID.IsZero() {
		return t.said != o.said && t.ref.Age < o.ref.Age+uint64(t.grace)
	}
	return t.ref.Older(o.ref)
}

// add makes the turn stand; false if there are too many. What waits goes before what was kept: those turns make room first.
func (q *queue) add(t *turn, most int) bool {
	if t.queued {
		return true
	}
	full := func() bool { return q.turns >= most || q.keys+len(t.read) > maxTurnKeys }
	for full() && len(q.ending) > 0 {
		q.endOldest()
	}
	if full() {
		return false
	}
	t.queued = true
	q.turns, q.keys = q.turns+1, q.keys+len(t.read)
	if t.firm {
		q.firm++
	}
	if t.list != nil {
		q.lists = append(q.lists, t)
	}
	for _, k := range t.read {
		_, writes := slices.BinarySearch(t.written, k)
		q.byKey[k] = append(q.byKey[k], keyTurn{t, writes})
	}
	return true
}

// end ends the turn, if it stands.
func (q *queue) end(t *turn) {
	if !t.queued {
		return
	}
	t.queued = false
	q.turns, q.keys = q.turns-1, q.keys-len(t.read)
	if t.firm {
		q.firm--
	}
	is := func(x keyTurn) bool { return x.turn == t }
	for _, k := range t.read {
		if rest := slices.DeleteFunc(q.byKey[k], is); len(rest) > 0 {
			q.byKey[k] = rest
		} else {
			delete(q.byKey, k)
		}
	}
	if t.list != nil {
		q.lists = slices.DeleteFunc(q.lists, func(o *turn) bool { return o == t })
	}
	close(t.over)
}

// hold keeps the turn of a read for a while after an answer.
func (q *queue) hold(t *turn, now time.Time) {
	q.held[t.said] = append(q.held[t.said], t)
	q.ending = append(q.ending, keptTurn{t, now.Add(words.MaxHold)})
}

// endHeld ends the turns that a read which says that age has kept, but for those that ends does not want to end.
func (q *queue) endHeld(said uint64, ends func(*turn) bool) {
	kept := slices.DeleteFunc(q.held[said], func(t *turn) bool {
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

// expire ends the turns that were kept and of which nothing has come.
func (q *queue) expire(now time.Time) {
	for len(q.ending) > 0 && !now.Before(q.ending[0].until) {
		q.endOldest()
	}
}

// endOldest ends the turn that has been kept for longest, unless it has ended.
func (q *queue) endOldest() {
	t := q.ending[0].turn
	q.ending = q.ending[1:]
	if t.queued {
		q.endHeld(t.said, func(o *turn) bool { return o == t })
	}
}

// older finds a turn before t that waits to write what t reads or writes, or to read what t writes.
func (q *queue) older(t *turn) (older *turn, key api.Key) {
	if q.turns == 0 {
		return nil, ""
	}
	for _, k := range t.read {
		_, writes := slices.BinarySearch(t.written, k)
		for _, x := range q.byKey[k] {
			if (writes || x.writes) && x.turn.before(t) {
				return x.turn, k
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

// olderCommits finds a turn before t in which a transaction is to be committed on what it has read of t's keys: what t read
// before that would be over.
func (q *queue) olderCommits(t *turn) *turn {
	for _, k := range t.read {
		for _, x := range q.byKey[k] {
			if x.turn.commits && x.turn.before(t) {
				return x.turn
			}
		}
	}
	return nil
}

// olderRead finds a turn before t by which a read keeps single writes off.
func (q *queue) olderRead(t *turn) (older *turn, key api.Key) {
	if q.firm == 0 {
		return nil, ""
	}
	for _, k := range t.written {
		for _, x := range q.byKey[k] {
			if x.turn.firm && x.turn.before(t) {
				return x.turn, k
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
