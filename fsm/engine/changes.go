package engine

import "github.com/tidwall/btree"

// changes are what was done to a keyspace and has not been done in it yet, by key.
type changes struct {
	btree.Map[string, change]
	bytes int // what they take, about
}

// change is what was done to one key.
type change struct {
	value   []byte
	deleted bool
	below   bool // the keyspace may have the key
}

// changeOverhead is about what a change takes beside its key and value.
const changeOverhead = 64

func sizeOfChange(k string, c change) int { return len(k) + len(c.value) + changeOverhead }

// add makes another change. Of a key that is not below nothing is left when it is deleted.
func (cs *changes) add(k string, c change) {
	old, had := cs.Get(k)
	if had {
		c.below = old.below
		cs.bytes -= sizeOfChange(k, old)
	}
	if c.deleted && !c.below {
		cs.Delete(k)
		return
	}
	cs.Set(k, c)
	cs.bytes += sizeOfChange(k, c)
}

// over is Scan of what is below with the changes made.
func (cs *changes) over(below Reader, lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	if cs.Len() == 0 {
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
func (cs *changes) walk(lo, hi []byte, reverse bool) func() (string, change, bool) {
	it := cs.Iter()
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
	return func() (string, change, bool) {
		if ok && started {
			ok = step()
		}
		started = true
		if !ok || !reverse && hi != nil && it.Key() >= text(hi) || reverse && it.Key() < text(lo) {
			ok = false
			return "", change{}, false
		}
		return it.Key(), it.Value(), true
	}
}
