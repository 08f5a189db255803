package replica

import (
	"io"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica/checkpoint"
)

// Durable is the side of a machine whose state outlives the process. It need not be on disk as soon as it has changed: what
// a crash took the log has. Checkpoint and Flush are called beside Apply, Adopt by the goroutine of Apply.
type Durable interface {
	checkpoint.Maker
	// Flush returns when all that had been applied before the call is on disk. After a crash Applied is at least what it was
	// at the last Flush, and the state is the one after that entry.
	Flush() error
	// Adopt replaces the state by that of a checkpoint, which stays as it is.
	Adopt(dir string) error
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
	first, err := log.FirstIndex()
	if err != nil {
		return err
	}
	end, err := log.LastIndex()
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
