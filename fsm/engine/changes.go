package engine

import (
	"strings"
	"sync"

	"github.com/tidwall/btree"
)

// changes are the changes of a keyspace that it does not have yet, by key. Only a scan puts them in order: most are never
// scanned. Reads are safe for concurrent use, but not beside add.
type changes struct {
	rows  map[string]*change
	bytes int // of memory, about

	mu      sync.Mutex // held by readers to put in order
	ordered btree.Map[string, *change]
	// unordered has each key that is not ordered yet, perhaps twice, and keys that were removed again.
	unordered []string
	room      *room // of what batches change, else nil
}

// change is what was done to one key.
type change struct {
	value   []byte
	deleted bool
	below   bool // the keyspace may have the key
	ordered bool // under the mutex, beside concurrent readers
}

// changeOverhead is about what a change takes beside its key and value.
const changeOverhead = 128

func sizeOfChange(k string, c *change) int { return len(k) + len(c.value) + changeOverhead }

func newChanges() *changes { return &changes{rows: map[string]*change{}} }

// newBatchChanges returns changes for one batch after the other; each batch ends with clear.
func newBatchChanges() *changes { return &changes{rows: map[string]*change{}, room: new(room)} }

// get returns the change of the key; nil if there is none.
func (cs *changes) get(k []byte) *change { return cs.rows[string(k)] }

// add adds a change. It keeps the value, and a copy of the key. A deleted key leaves nothing behind if the keyspace below
// certainly does not have it.
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

// keep stores the change under a copy of the key, and returns the copy.
func (cs *changes) keep(k string, c change) string {
	if r := cs.room; r != nil {
		k = r.key(k)
		cs.rows[k] = r.change(c)
		return k
	}
	k = strings.Clone(k)
	own := c // so that c itself need not escape to the heap when there is a room
	cs.rows[k] = &own
	return k
}

// order sorts the keys, for a scan.
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

// clear removes all changes of a batch.
func (cs *changes) clear() {
	const kept = 1024 // to clear a map costs its greatest size, also when it is small again
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
