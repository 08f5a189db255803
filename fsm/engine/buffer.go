package engine

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// buffer gathers what was committed to a folder above its database, which gets it in few large batches: what is overwritten
// or deleted soon never gets there, and a large batch becomes a table as it is. Its owner's mutexes guard it.
type buffer struct {
	fresh *changes // not in the database
	// settled is the generation before, in the database or on its way. To read it here costs no look there.
	settled *changes
	moving  bool // settled may not be in the database yet
}

func newBuffer() buffer { return buffer{fresh: newChanges(), settled: newChanges()} }

// get looks through the buffer and then below. What it returns must not be changed.
func (b *buffer) get(below Reader, key []byte) ([]byte, bool, error) {
	c := b.fresh.get(key)
	if c == nil {
		c = b.settled.get(key)
	}
	if c != nil {
		return c.value, !c.deleted, nil
	}
	return below.Get(key)
}

// scan is Scan of what is below and in the buffer.
func (b *buffer) scan(below Reader, lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	if b.moving {
		below = &overlay{below: below, changes: b.settled}
	}
	return b.fresh.over(below, lo, hi, reverse, visit)
}

// add makes the changes of a batch.
func (b *buffer) add(cs *changes) {
	for k, c := range cs.rows {
		b.fresh.add(k, *c)
	}
}

// drain begins to bring what is buffered to the database, once the generation before is there. The caller holds the engine's
// write mutex, and calls settle once, with or without it: that does the work, all at once, so that a crash finds all of it
// or nothing. A reader meanwhile finds the same as before.
func (f *folder) drain() (settle func() error) {
	f.turn.Lock()
	if f.failed == nil && len(f.buffer.fresh.rows) > 0 {
		f.p.mu.Lock()
		f.buffer = buffer{fresh: newChanges(), settled: f.buffer.fresh, moving: true}
		f.p.mu.Unlock()
	}
	return func() error {
		defer f.turn.Unlock()
		if f.failed == nil && f.buffer.moving {
			f.failed = f.settle()
		}
		return f.failed
	}
}

// settle is drain's work.
func (f *folder) settle() error {
	settled := f.buffer.settled
	b := f.db.NewBatchWithSize(settled.bytes)
	err := settled.fill(b)
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return err
	}
	f.p.mu.Lock()
	f.buffer.moving = false
	f.p.mu.Unlock()
	return nil
}

// fill makes the changes in a batch of the database, which puts them in order.
func (cs *changes) fill(b *pebble.Batch) (err error) {
	for k, c := range cs.rows {
		if c.deleted {
			err = b.Delete(bytesOf(k), nil)
		} else {
			err = b.Set(bytesOf(k), c.value, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
