package engine

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// buffer gathers what was committed to a folder above its database, which gets it in few large batches: what is overwritten
// or deleted soon never gets there, and a large batch becomes a table as it is. Its owner's mutexes guard it.
type buffer struct {
	fresh *changes // not in the database
	// settled is the generation before. The database has it; to read it here costs no look there.
	settled *changes
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

// add takes the changes over.
func (b *buffer) add(cs *changes) {
	for k, c := range cs.rows {
		b.fresh.add(k, c)
	}
}

// drain brings what is buffered to the database, all at once: a crash finds all of it or nothing. The caller holds the
// engine's write mutex; who reads meanwhile finds the same here and there.
func (f *folder) drain() error {
	fresh := f.buffer.fresh
	if len(fresh.rows) == 0 {
		return nil
	}
	b := f.db.NewBatchWithSize(fresh.bytes)
	err := fresh.fill(b)
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return err
	}
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	f.buffer = buffer{fresh: newChanges(), settled: fresh}
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
