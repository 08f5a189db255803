package fsm

import (
	"errors"

	"github.com/edgehold/edgehold/fsm/engine"
)

// errNotDurable is a request that only an engine on disk can grant.
var errNotDurable = errors.New("fsm: the machine's engine keeps nothing on disk")

// Applied is the log's index of the newest entry that the state holds: after a restart of a machine on disk at least that
// of the last Flush.
func (m *Machine) Applied() uint64 { return m.Meta().Applied }

// durable is the engine, where it is on disk.
func (m *Machine) durable() (engine.Durable, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if d, ok := m.engine.(engine.Durable); ok {
		return d, nil
	}
	return nil, errNotDurable
}

// Close parts the machine from its engine, which may be closed then. It must not be applied to any more. Who still reads
// finds a machine that is not founded, and owns nothing.
func (m *Machine) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.engine, m.meta, m.shards = engine.NewMemory(), Meta{Level: Level1}, nil
}

// Flush returns when all that had been applied before the call is on disk. It does not stop Apply.
func (m *Machine) Flush() error {
	d, err := m.durable()
	if err != nil {
		return err
	}
	return d.Flush()
}

// Checkpoint makes the new folder dir a copy of the state after some Apply, at or after the last before the call. It takes
// about as long as a Flush, whatever the size, and does not stop Apply.
func (m *Machine) Checkpoint(dir string) error {
	d, err := m.durable()
	if err != nil {
		return err
	}
	return d.Checkpoint(dir)
}

// Adopt replaces the machine's state by that of a checkpoint, which stays as it is. Where it is not a machine's, the state
// stays what it was.
func (m *Machine) Adopt(dir string) error {
	d, err := m.durable()
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var meta Meta
	var shards []owned
	err = d.Adopt(dir, func(r engine.Reader) (err error) {
		meta, shards, err = readHand(r)
		return err
	})
	if err != nil {
		return err
	}
	m.meta, m.shards = meta, shards
	m.forgetClients()
	return nil
}
