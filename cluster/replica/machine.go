package replica

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica/checkpoint"
)

// driver is the machine as Raft sees it. It keeps its own account of what has applied: Raft's AppliedIndex is what has
// been handed to this goroutine, which may be far ahead.
type driver[R any] struct {
	machine   Machine[R]
	state     Durable // the machine's durable side, or nil
	snapshots raft.SnapshotStore
	commands  func(n float64, values ...string)
	onFailed  func(error)

	applied atomic.Uint64 // index of the last entry that the machine holds
	// What was applied since the start.
	entries, bytes atomic.Uint64

	halt // ends Apply for good

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
	err     error // nothing of the entry was applied here
}

// Apply passes over what the machine holds already: nobody waits for the result of an entry that was applied before this
// replica started, or before the snapshot that it was given.
//
// An entry that this program cannot read halts it: to skip the entry would silently part this replica from others. So does a failure of
// the machine, of which the owner hears first.
func (d *driver[R]) Apply(log *raft.Log) any {
	if err := d.Halted(); err != nil {
		return &appliedEntry[R]{term: log.Term, err: err}
	}
	if d.holds(log.Index) {
		return &appliedEntry[R]{term: log.Term}
	}
	commands, err := decodeEntry(log.Data)
	var results []R
	if err == nil {
		results, err = d.carryOut(log, commands)
	}
	if err != nil {
		return &appliedEntry[R]{term: log.Term, err: d.stop(log.Index, err)}
	}
	d.advance(log.Index)
	d.entries.Add(1)
	d.bytes.Add(uint64(len(log.Data)))
	d.commands(float64(len(commands)))
	return &appliedEntry[R]{results: results, term: log.Term}
}

// carryOut has the machine apply the commands. A panic of the machine that ends the process is an error: the machine has no state to
// go on with. One that is a fault in the program goes on: its stack is worth more than a line.
func (d *driver[R]) carryOut(log *raft.Log, commands [][]byte) (results []R, err error) {
	defer func() {
		x := recover()
		if x == nil {
			return
		}
		cause, _ := x.(error)
		if _, ends := errors.AsType[ending](cause); !ends {
			panic(x)
		}
		err = fmt.Errorf("entry %d of term %d cannot be applied: %w", log.Index, log.Term, cause)
		d.onFailed(err)
	}()
	return d.machine.Apply(log.Index, log.Term, commands)
}

// ending is a panic's value that says that the process has no state to go on with.
type ending interface {
	error
	EndsProcess()
}

// StoreConfiguration remembers the newest committed members. That it exists also lets Raft take a snapshot right after a
// change of members (hashicorp/raft #318).
func (d *driver[R]) StoreConfiguration(index uint64, c raft.Configuration) {
	d.mu.Lock()
	d.config, d.configIndex = c, index
	d.mu.Unlock()
	d.advance(index)
}

func (d *driver[R]) configuration() (raft.Configuration, uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.config, d.configIndex
}

// Snapshot is refused after a halt: Raft would take the state for that of the entries which were passed over.
func (d *driver[R]) Snapshot() (raft.FSMSnapshot, error) {
	if err := d.Halted(); err != nil {
		return nil, err
	}
	if _, ok := d.snapshots.(*checkpoint.Store); ok {
		return checkpoint.Of(d.state), nil
	}
	s, err := d.machine.Snapshot()
	if err != nil {
		return nil, err
	}
	return snapshot{s, d.state}, nil
}

// Restore is of the newest snapshot in the store.
func (d *driver[R]) Restore(r io.ReadCloser) error {
	if err := d.Halted(); err != nil {
		return err
	}
	list, err := d.snapshots.List()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return api.Errorf(api.CodeInternal, "a snapshot is restored that the store does not list")
	}
	if err := d.restore(list[0].Index, r); err != nil {
		return err
	}
	d.StoreConfiguration(list[0].ConfigurationIndex, list[0].Configuration)
	d.advance(list[0].Index)
	if d.state != nil {
		d.advance(d.state.Applied())
	}
	return nil
}

// snapshot is a captured state as Raft sees it.
type snapshot struct {
	s     Snapshot
	state Durable // or nil
}

// Persist first brings to disk what Raft will drop from the log.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if s.state != nil {
		if err := s.state.Flush(); err != nil {
			_ = sink.Cancel()
			return err
		}
	}
	if _, err := s.s.WriteTo(sink); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

func (s snapshot) Release() { _ = s.s.Close() }
