package replica

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica/checkpoint"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
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
		results, err = d.applyCommands(log, commands)
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

// applyCommands has the machine apply the commands. A panic of the machine that ends the process is an error: the machine has no state to
// go on with. One that is a fault in the program goes on: its stack is worth more than a line.
func (d *driver[R]) applyCommands(log *raft.Log, commands [][]byte) (results []R, err error) {
	defer func() {
		x := recover()
		if x == nil {
			return
		}
		cause, _ := x.(error)
		if _, ends := errors.AsType[processEnder](cause); !ends {
			panic(x)
		}
		err = fmt.Errorf("entry %d of term %d cannot be applied: %w", log.Index, log.Term, cause)
		d.onFailed(err)
	}()
	return d.machine.Apply(log.Index, log.Term, commands)
}

// processEnder is a panic's value that says that the process has no state to go on with.
type processEnder interface {
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

// advance notes that the machine holds the log up to index; never less than before.
func (d *driver[R]) advance(index uint64) {
	if index > d.applied.Load() {
		d.applied.Store(index)
	}
}

// holds tells whether the machine's own state has the entry.
func (d *driver[R]) holds(index uint64) bool { return d.state != nil && index <= d.state.Applied() }

// resume begins with the state that the machine has, and tells whether that is at or beyond the newest snapshot, so that
// nothing is to be restored. Raft goes on from the snapshot; the entries that the machine has are passed over.
func (d *driver[R]) resume(log raft.LogStore) (ready bool, err error) {
	applied := d.state.Applied()
	list, err := d.snapshots.List()
	if err != nil {
		return false, err
	}
	if err := d.belongs(applied, log, list); err != nil {
		return false, err
	}
	d.applied.Store(applied)
	if len(list) == 0 || applied < list[0].Index {
		return false, nil
	}
	d.StoreConfiguration(list[0].ConfigurationIndex, list[0].Configuration)
	return true, nil
}

// belongs refuses a state, a log and snapshots of which one was lost, or is another's.
func (d *driver[R]) belongs(applied uint64, log raft.LogStore, list []*raft.SnapshotMeta) error {
	first, end, err := logstore.Bounds(log)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		end = max(end, list[0].Index, d.reach(list[0].ID))
	}
	if len(list) == 0 && first > 1 {
		return api.Errorf(api.CodeInternal, "the log begins at %d, and there is no snapshot of what was before: it is lost", first)
	}
	if applied > end {
		// The log is on disk before anything of it is applied: it is not the log of this state.
		return api.Errorf(api.CodeInternal,
			"the machine has applied the log up to %d, and the log ends at %d: it is lost, or that of another state", applied, end)
	}
	return nil
}

// reach is the newest entry that a snapshot may hold: a checkpoint may be newer than the index it stands for.
func (d *driver[R]) reach(id string) uint64 {
	if c, ok := d.snapshots.(*checkpoint.Store); ok {
		return c.Reach(id)
	}
	return 0
}

// restore brings the machine to a snapshot of that index.
func (d *driver[R]) restore(index uint64, r io.Reader) error {
	if d.holds(index) {
		return nil
	}
	if dir, ok := checkpoint.Folder(r); ok {
		if d.state == nil {
			return api.Errorf(api.CodeInternal, "the snapshot is a checkpoint on disk, and this machine lives in memory")
		}
		return d.state.Adopt(dir)
	}
	return d.machine.Restore(r)
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

// halt is the end of applying at this replica: it met an entry that its program cannot read. The replica goes on storing the
// log and voting, so that the group keeps its quorum, but it gives up every lead, takes no snapshot, and answers nothing.
type halt struct {
	group  string
	log    hclog.Logger
	halted chan struct{} // closed when it has happened
	reason atomic.Pointer[api.Error]
}

// stop halts the replica at the entry. Only Apply calls it, once.
func (h *halt) stop(index uint64, cause error) error {
	hint := h.group + " has entries of a newer version: upgrade this node"
	if errors.Is(cause, errEntry) {
		hint = h.group + " has an entry that is damaged: replace this node's copy of the group"
	} else if _, ends := errors.AsType[processEnder](cause); ends {
		hint = h.group + " has no state to go on with at this node: " + cause.Error()
	}
	h.reason.Store(&api.Error{Code: api.CodeUnavailable, Hint: hint, Err: cause})
	h.log.Error(hint, "entry", index)
	close(h.halted)
	return h.Halted()
}

// Halted says why the replica applies nothing any more; nil while it does.
func (h *halt) Halted() error {
	if reason := h.reason.Load(); reason != nil {
		return reason
	}
	return nil
}
