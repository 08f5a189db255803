package replica

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// driver is the machine as Raft sees it. It keeps its own account of what has applied: Raft's AppliedIndex is what has
// been handed to this goroutine, which may be far ahead.
type driver[R any] struct {
	machine   Machine[R]
	snapshots raft.SnapshotStore
	commands  func(n float64, values ...string)

	applied atomic.Uint64 // index of the last entry that the machine has applied

	mu          sync.Mutex
	config      raft.Configuration // the newest committed one
	configIndex uint64
}

var (
	_ raft.FSM                = (*driver[int])(nil)
	_ raft.ConfigurationStore = (*driver[int])(nil)
)

// appliedEntry is what Apply answers to the proposer of an entry.
type appliedEntry[R any] struct {
	results []R
	term    uint64
}

// Apply panics on an entry that it cannot read, as Raft does: skipping it would silently part this replica from others.
func (d *driver[R]) Apply(log *raft.Log) any {
	commands, err := decodeEntry(log.Data)
	if err != nil {
		panic(fmt.Sprintf("replica: entry %d of term %d: %v (written by a newer version?)", log.Index, log.Term, err))
	}
	results := d.machine.Apply(log.Index, log.Term, commands)
	d.applied.Store(log.Index)
	d.commands(float64(len(commands)))
	return &appliedEntry[R]{results: results, term: log.Term}
}

// StoreConfiguration remembers the newest committed members. That it exists also lets Raft take a snapshot right after a
// change of members (hashicorp/raft #318).
func (d *driver[R]) StoreConfiguration(index uint64, c raft.Configuration) {
	d.mu.Lock()
	d.config, d.configIndex = c, index
	d.mu.Unlock()
	d.applied.Store(index)
}

func (d *driver[R]) configuration() (raft.Configuration, uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.config, d.configIndex
}

func (d *driver[R]) Snapshot() (raft.FSMSnapshot, error) {
	s, err := d.machine.Snapshot()
	if err != nil {
		return nil, err
	}
	return snapshot{s}, nil
}

// Restore is of the newest snapshot in the store.
func (d *driver[R]) Restore(r io.ReadCloser) error {
	list, err := d.snapshots.List()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return api.Errorf(api.CodeInternal, "a snapshot is restored that the store does not list")
	}
	if err := d.machine.Restore(r); err != nil {
		return err
	}
	d.StoreConfiguration(list[0].ConfigurationIndex, list[0].Configuration)
	d.applied.Store(list[0].Index)
	return nil
}

// snapshot is a captured state as Raft sees it.
type snapshot struct{ s Snapshot }

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := s.s.WriteTo(sink); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

func (s snapshot) Release() { _ = s.s.Close() }
