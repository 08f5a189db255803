package logstore

import (
	"errors"
	"os"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// Log is the log of one replica. Every log is monotonic, so that Raft empties it when a snapshot is installed. Otherwise a
// follower whose newest entry conflicts with the leader's log fetches the snapshot again and again (hashicorp/raft #697).
type Log interface {
	raft.LogStore
	raft.MonotonicLogStore
}

// Bounds returns the indexes of the first and the last entry, or zeros if the log is empty.
func Bounds(l raft.LogStore) (first, last uint64, err error) {
	if first, err = l.FirstIndex(); err != nil {
		return 0, 0, err
	}
	last, err = l.LastIndex()
	return first, last, err
}

// Stores is the durable state of one replica.
type Stores struct {
	Log       Log
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	// Close releases the stores. It is called once, after their last use; nil does nothing.
	Close func() error
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// The keys of the stable store: the term and the vote under Raft's names, and the replica that the state belongs to.
var (
	keyTerm      = []byte("CurrentTerm")
	keyVoteTerm  = []byte("LastVoteTerm")
	keyCandidate = []byte("LastVoteCand")
	keyIdentity  = []byte("edgehold/replica")
)

// Term returns Raft's term in the stable store, or 0 if there is none.
func (s *Stores) Term() (uint64, error) {
	term, err := s.Stable.GetUint64(keyTerm)
	return term, ignoreNotFound(err)
}

// Claim records in an empty stable store which replica it belongs to. It returns CodeConflict if the store belongs to another.
func Claim(stable raft.StableStore, group, node string) error {
	mine := group + "\x00" + node
	switch held, err := stable.Get(keyIdentity); {
	case err == nil && string(held) == mine:
		return nil
	case err == nil && len(held) > 0:
		return api.Errorf(api.CodeConflict, "the durable state belongs to %q, not to node %s in group %s", held, node, group)
	case ignoreNotFound(err) != nil:
		return err
	}
	return stable.Set(keyIdentity, []byte(mine))
}

// ignoreNotFound returns nil for the error of an absent key. Raft's interface defines that error by its text alone, which Raft
// itself compares.
func ignoreNotFound(err error) error {
	if err != nil && err.Error() == errNotFound.Error() {
		return nil
	}
	return err
}

var errNotFound = errors.New("not found")
