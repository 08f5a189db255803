package engine

import "github.com/tidwall/btree"

// memoryBatch keeps its changes in a small tree over the engine's, so that readers see none of them before Commit.
type memoryBatch struct {
	engine  *memory
	changes btree.Map[string, change]
}

// change is what a batch does to one key.
type change struct {
	value   []byte
	deleted bool
}

func (b *memoryBatch) Get(key []byte) ([]byte, bool, error) {
	if c, ok := b.changes.Get(text(key)); ok {
		return c.value, !c.deleted, nil
	}
	return b.engine.Get(key)
}

func (b *memoryBatch) Set(k, v []byte) error {
	b.changes.Set(string(k), change{value: v})
	return nil
}

func (b *memoryBatch) Delete(k []byte) error {
	b.changes.Set(string(k), change{deleted: true})
	return nil
}

func (b *memoryBatch) Commit() error {
	b.engine.mu.Lock()
	defer b.engine.mu.Unlock()
	b.changes.Scan(func(k string, c change) bool {
		if c.deleted {
			b.engine.tree.Delete(k)
		} else {
			b.engine.tree.Set(k, c.value)
		}
		return true
	})
	b.changes.Clear()
	return nil
}

func (b *memoryBatch) Discard() { b.changes.Clear() }

// Scan merges the batch's changes with what is below.
func (b *memoryBatch) Scan(lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	if b.changes.Len() == 0 {
		return b.engine.Scan(lo, hi, reverse, visit)
	}
	next := b.walk(lo, hi, reverse)
	k, c, ok := next()
	more := true
	err := b.engine.Scan(lo, hi, reverse, func(bk, bv []byte) bool {
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

// walk steps through the batch's own changes in [lo, hi).
func (b *memoryBatch) walk(lo, hi []byte, reverse bool) func() (string, change, bool) {
	it := b.changes.Iter()
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
