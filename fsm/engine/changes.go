package engine

import (
	"strings"
	"sync"

	"github.com/tidwall/btree"
)

// changes are what was done to a keyspace and has not been done in it yet, by key. They are put in order only where
// somebody scans them: most come and go without. Reads are safe for concurrent use, while nobody adds.
type changes struct {
	rows  map[string]*change
	bytes int // what they take, about

	mu      sync.Mutex // held by readers to put in order
	ordered btree.Map[string, *change]
	// unordered are keys that are not ordered yet, once or more often, and some that are not there any more.
	unordered []string
	room      *room // of what batches change, else nil
}

// change is what was done to one key.
type change struct {
	value   []byte
	deleted bool
	below   bool // the keyspace may have the key
	ordered bool // under the mutex, where somebody else reads
}

// changeOverhead is about what a change takes beside its key and value.
const changeOverhead = 128

func sizeOfChange(k string, c *change) int { return len(k) + len(c.value) + changeOverhead }

func newChanges() *changes { return &changes{rows: map[string]*change{}} }

// newBatchChanges are of one batch after the other, each of which ends with clear.
func newBatchChanges() *changes { return &changes{rows: map[string]*change{}, room: new(room)} }

// get returns nil where nothing was done to the key.
func (cs *changes) get(k []byte) *change { return cs.rows[string(k)] }

// add makes another change. It keeps the value, and a copy of the key. Of a key that is not below nothing is left when it is
// deleted.
func (cs *changes) add(k string, c change) {
	old := cs.rows[k]
	if old != nil {
		c.below, c.ordered = old.below, old.ordered
		cs.bytes -= sizeOfChange(k, old)
	}
	if c.deleted && !c.below {
		if c.ordered {
			cs.ordered.Delete(k)
		}
		delete(cs.rows, k)
		return
	}
	cs.bytes += sizeOfChange(k, &c)
	if old != nil {
		*old = c
		return
	}
	c.ordered = false
	k = cs.keep(k, c)
	if len(cs.unordered) > 2*len(cs.rows)+1024 {
		cs.order()
	}
	cs.unordered = append(cs.unordered, k)
}

// keep makes the change the key's, and returns the key as it is kept.
func (cs *changes) keep(k string, c change) string {
	if r := cs.room; r != nil {
		k = r.key(k)
		cs.rows[k] = r.change(c)
		return k
	}
	k = strings.Clone(k)
	own := c // c itself would not stay on the stack of who has a room
	cs.rows[k] = &own
	return k
}

// order makes the keys ready to be walked.
func (cs *changes) order() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, k := range cs.unordered {
		if c := cs.rows[k]; c != nil && !c.ordered {
			cs.ordered.Set(k, c)
			c.ordered = true
		}
	}
	cs.unordered = cs.unordered[:0]
}

// clear makes all changes of a batch undone.
func (cs *changes) clear() {
	const kept = 1024 // a greater map costs whoever clears it when it is small again
	if len(cs.rows) > kept || cs.room.great() {
		*cs = changes{rows: map[string]*change{}, room: new(room)}
		return
	}
	clear(cs.rows)
	clear(cs.unordered)
	cs.unordered, cs.bytes = cs.unordered[:0], 0
	cs.ordered.Clear()
	cs.room.clear()
}

// over is Scan of what is below with the changes made.
func (cs *changes) over(below Reader, lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	if len(cs.rows) == 0 {
		return below.Scan(lo, hi, reverse, visit)
	}
	next := cs.walk(lo, hi, reverse)
	k, c, ok := next()
	more := true
	err := below.Scan(lo, hi, reverse, func(bk, bv []byte) bool {
		for ; ok && before(k, text(bk), reverse); k, c, ok = next() {
			if !c.deleted {
				if more = visit(bytesOf(k), c.value); !more {
					return false
				}
			}
		}
		if ok && k == text(bk) {
			deleted, v := c.deleted, c.value
			if k, c, ok = next(); deleted {
				return true
			}
			bv = v
		}
		more = visit(bk, bv)
		return more
	})
	for ; err == nil && more && ok; k, c, ok = next() {
		if !c.deleted {
			more = visit(bytesOf(k), c.value)
		}
	}
	return err
}

func before(a, b string, reverse bool) bool {
	if reverse {
		return a > b
	}
	return a < b
}

// walk steps through the changes in [lo, hi).
func (cs *changes) walk(lo, hi []byte, reverse bool) func() (string, *change, bool) {
	cs.order()
	it := cs.ordered.Iter()
	step := it.Next
	var ok bool
	switch {
	case !reverse:
		ok = it.Seek(text(lo))
	case hi == nil:
		ok, step = it.Last(), it.Prev
	default:
		// Seek finds the first at or above hi: the one before it is ours.
		if step = it.Prev; it.Seek(text(hi)) {
			ok = it.Prev()
		} else {
			ok = it.Last()
		}
	}
	started := false
	return func() (string, *change, bool) {
		if ok && started {
			ok = step()
		}
		started = true
		if !ok || !reverse && hi != nil && it.Key() >= text(hi) || reverse && it.Key() < text(lo) {
			ok = false
			return "", nil, false
		}
		return it.Key(), it.Value(), true
	}
}
