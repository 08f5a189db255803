package engine

import "errors"

// overlay is a Batch over any engine. It keeps its changes to itself, so that readers of the engine see none of them before
// Commit, and its own reads look there first.
type overlay struct {
	below   Reader
	changes *changes // the engine's own, used again by each batch; nil once this one has ended
	// commit makes the changes, all at once.
	commit func(*changes) error
}

func (b *overlay) Get(key []byte) ([]byte, bool, error) {
	if c := b.changes.get(key); c != nil {
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
	b.changes.add(text(k), c)
	return nil
}

func (b *overlay) Commit() error {
	err := b.commit(b.changes)
	b.Discard()
	return err
}

func (b *overlay) Discard() {
	if b.changes != nil {
		b.changes.clear()
		b.changes = nil
	}
}

// Scan merges the batch's changes with what is below.
func (b *overlay) Scan(lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	return b.changes.over(b.below, lo, hi, reverse, visit)
}
