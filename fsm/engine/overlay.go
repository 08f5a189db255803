package engine

import (
	"errors"

	"github.com/tidwall/btree"
)

// overlay is a Batch over any engine. It keeps its changes in a small tree, so that readers of the engine see none of them
// before Commit, and its own reads cost a look into that tree.
type overlay struct {
	below   Reader
	changes changes
	// commit makes the changes, all at once.
	commit func(*changes) error
}

// changes are what a batch does, by key.
type changes = btree.Map[string, change]

// change is what a batch does to one key.
type change struct {
	value   []byte
	deleted bool
}

func (b *overlay) Get(key []byte) ([]byte, bool, error) {
	if c, ok := b.changes.Get(text(key)); ok {
		return c.value, !c.deleted, nil
	}
	return b.below.Get(key)
}

// errEmpty is a key that no engine takes.
var errEmpty = errors.New("engine: an empty key")

func (b *overlay) Set(k, v []byte) error {
	if len(k) == 0 {
		return errEmpty
	}
	b.changes.Set(string(k), change{value: v})
	return nil
}

func (b *overlay) Delete(k []byte) error {
	b.changes.Set(string(k), change{deleted: true})
	return nil
}

func (b *overlay) Commit() error {
	if b.changes.Len() == 0 {
		return nil
	}
	err := b.commit(&b.changes)
	b.changes.Clear()
	return err
}

func (b *overlay) Discard() { b.changes.Clear() }

// Scan merges the batch's changes with what is below.
func (b *overlay) Scan(lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	if b.changes.Len() == 0 {
		return b.below.Scan(lo, hi, reverse, visit)
	}
	next := b.walk(lo, hi, reverse)
	k, c, ok := next()
	more := true
	err := b.below.Scan(lo, hi, reverse, func(bk, bv []byte) bool {
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
func (b *overlay) walk(lo, hi []byte, reverse bool) func() (string, change, bool) {
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
