package replica

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica/checkpoint"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// driver is the machine in Raft's view. It records itself what the machine has applied: Raft's AppliedIndex counts the entries
// that Raft has passed to the driver's goroutine, which may be far ahead.
type driver[R any] struct {
	machine   Machine[R]
	state     Durable // the machine's durable state, or nil
	snapshots raft.SnapshotStore
	commands  func(n float64, values ...string)
	onFailed  func(error)

	applied atomic.Uint64 // index of the last entry that the machine includes
	// Counts of what was applied since the start.
	entries, bytes atomic.Uint64

	halt // stops Apply for good

	mu          sync.Mutex
	config      raft.Configuration // the newest committed one
	configIndex uint64
}

var (
	_ raft.FSM                = (*driver[int])(nil)
	_ raft.ConfigurationStore = (*driver[int])(nil)
)

// appliedEntry is the result of Apply for the proposer of an entry.
type appliedEntry[R any] struct {
	results []R
	term    uint64
	began   time.Time // when the machine was given the entry
	err     error     // nothing of the entry was applied here
}

// Apply skips an entry that the machine already includes: no proposer waits for an entry from before the start of this replica
// or before an installed snapshot.
//
// An entry that this program cannot read halts the replica: if Apply skipped the entry, this replica would silently diverge from
// the others. A failure of the machine halts the replica too, after OnFailed was called.
func (d *driver[R]) Apply(log *raft.Log) any {
	if err := d.Halted(); err != nil {
		return &appliedEntry[R]{term: log.Term, err: err}
	}
	if d.holds(log.Index) {
		return &appliedEntry[R]{term: log.Term}
	}
	began := time.Now()
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
	return &appliedEntry[R]{results: results, term: log.Term, began: began}
}

// applyCommands applies the commands to the machine. A panic whose value is a processEnder says that the machine cannot continue:
// it becomes an error. Any other panic is a bug in the program and is not recovered, so that its stack is printed.
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

// processEnder is the value of a panic after which the machine cannot continue.
type processEnder interface {
	error
	EndsProcess()
}

// StoreConfiguration records the newest committed members. The method's presence also lets Raft take a snapshot right after a
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

// Snapshot fails after a halt: Raft would assume that the state includes the entries that were skipped.
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

// Restore restores the newest snapshot in the store.
func (d *driver[R]) Restore(r io.ReadCloser) error {
	if err := d.Halted(); err != nil {
		return err
	}
	list, err := d.snapshots.List()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return api.Errorf(api.CodeInternal, "the snapshot that is restored is not in the snapshot store")
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

// advance records that the machine includes the log up to index. It never goes back.
func (d *driver[R]) advance(index uint64) {
	if index > d.applied.Load() {
		d.applied.Store(index)
	}
}

// holds reports whether the machine's durable state includes the entry.
func (d *driver[R]) holds(index uint64) bool { return d.state != nil && index <= d.state.Applied() }

// resume starts from the machine's durable state. It reports whether that state includes the newest snapshot, so that nothing
// need be restored. Raft continues from the snapshot, and Apply skips the entries that the state includes.
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

// belongs returns an error if the state, the log and the snapshots do not belong together, or one of them was lost.
func (d *driver[R]) belongs(applied uint64, log raft.LogStore, list []*raft.SnapshotMeta) error {
	first, end, err := logstore.Bounds(log)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		end = max(end, list[0].Index, d.reach(list[0].ID))
	}
	if len(list) == 0 && first > 1 {
		return api.Errorf(api.CodeInternal, "the log starts at entry %d, and the snapshot of the entries before it is lost", first)
	}
	if applied > end {
		// An entry is on disk before it is applied: this is not the log of this state.
		return api.Errorf(api.CodeInternal,
			"the machine has applied entry %d, and the log ends at entry %d: the log is lost, or belongs to another state", applied, end)
	}
	return nil
}

// reach returns the index of the newest entry that a snapshot may include: a checkpoint may be newer than its index.
func (d *driver[R]) reach(id string) uint64 {
	if c, ok := d.snapshots.(*checkpoint.Store); ok {
		return c.Reach(id)
	}
	return 0
}

// restore replaces the state with the snapshot at index, unless the state includes it.
func (d *driver[R]) restore(index uint64, r io.Reader) error {
	if d.holds(index) {
		return nil
	}
	if dir, ok := checkpoint.Folder(r); ok {
		if d.state == nil {
			return api.Errorf(api.CodeInternal, "the snapshot is a checkpoint on disk, and the state of this machine is in memory")
		}
		return d.state.Adopt(dir)
	}
	err := d.machine.Restore(r)
	if _, newer := errors.AsType[newerVersion](err); newer {
		return d.stop(index, err)
	}
	return err
}

// newerVersion is the error of a snapshot that only a newer version of the program can read.
type newerVersion interface {
	error
	NewerVersion()
}

// snapshot is a captured state in Raft's view.
type snapshot struct {
	s     Snapshot
	state Durable // or nil
}

// Persist first makes durable what Raft will drop from the log.
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

// halt stops a replica that meets an entry or a snapshot which its program cannot read. A halted replica still stores the log and votes, so
// that the group keeps its quorum. It applies nothing, gives up leadership, takes no snapshots, and accepts no proposals.
type halt struct {
	group  string
	log    hclog.Logger
	halted chan struct{} // closed by stop
	reason atomic.Pointer[api.Error]
}

// stop halts the replica at the entry. It is called once, by Apply or by the restoring of a snapshot.
func (h *halt) stop(index uint64, cause error) error {
	hint := h.group + " has entries of a newer version: upgrade this node"
	if errors.Is(cause, errEntry) {
		hint = h.group + " has an entry that is damaged: replace this node's copy of the group"
	} else if _, ends := errors.AsType[processEnder](cause); ends {
		hint = h.group + " cannot continue at this node: " + cause.Error()
	}
	h.reason.Store(&api.Error{Code: api.CodeUnavailable, Hint: hint, Err: cause})
	h.log.Error(hint, "entry", index)
	close(h.halted)
	return h.Halted()
}

// Halted returns why the replica applies nothing more, or nil while it applies.
func (h *halt) Halted() error {
	if reason := h.reason.Load(); reason != nil {
		return reason
	}
	return nil
}
