package engine

import "errors"

// overlay is a Batch over any engine. It keeps its changes in a small tree, so that readers of the engine see none of them
// before Commit, and its own reads cost a look into that tree.
type overlay struct {
	below   Reader
	changes changes
	// commit makes the changes, all at once.
	commit func(*changes) error
}

func (b *overlay) Get(key []byte) ([]byte, bool, error) {
	if c, ok := b.changes.Get(text(key)); ok {
		return c.value, !c.deleted, nil
	}
	return b.below.Get(key)
}

// errEmpty is a key that no engine takes.
var errEmpty = errors.New("engine: an empty key")

func (b *overlay) Set(k, v []byte) error { return b.change(k, change{value: v, below: true}) }

func (b *overlay) Insert(k, v []byte) error { return b.change(k, change{value: v}) }

func (b *overlay) Delete(k []byte) error { return b.change(k, change{deleted: true, below: true}) }

func (b *overlay) change(k []byte, c change) error {
	if len(k) == 0 {
		return errEmpty
	}
	b.changes.add(string(k), c)
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
	return b.changes.over(b.below, lo, hi, reverse, visit)
}
