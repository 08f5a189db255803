package logstore

import (
	"errors"
	"os"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// Log is the log of one replica. Every log is monotonic: Raft empties it where a snapshot is installed. Otherwise a follower
// whose newest entry conflicts with the leader's log fetches the snapshot again and again (hashicorp/raft #697).
type Log interface {
	raft.LogStore
	raft.MonotonicLogStore
}

// Bounds returns the indexes of the first and the last entry, zeros if the log is empty.
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
	// Close, where not nil, releases them, once, after their last use.
	Close func() error
}

// syncDir makes new names in dir survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// What the stable store holds: the term and the vote by Raft's names, and whose state it is.
var (
	keyTerm      = []byte("CurrentTerm")
	keyVoteTerm  = []byte("LastVoteTerm")
	keyCandidate = []byte("LastVoteCand")
	keyIdentity  = []byte("edgehold/replica")
)

// Term is Raft's newest term in the stable store; 0 if there is none.
func (s *Stores) Term() (uint64, error) {
	term, err := s.Stable.GetUint64(keyTerm)
	return term, ignoreNotFound(err)
}

// Claim makes fresh stores those of this replica, and refuses, as CodeConflict, those of another.
func Claim(stable raft.StableStore, group, node string) error {
	mine := group + "\x00" + node
	switch held, err := stable.Get(keyIdentity); {
	case err == nil && string(held) == mine:
		return nil
	case err == nil && len(held) > 0:
		return api.Errorf(api.CodeConflict, "the durable state is that of %q, not of node %s in group %s", held, node, group)
	case ignoreNotFound(err) != nil:
		return err
	}
	return stable.Set(keyIdentity, []byte(mine))
}

// ignoreNotFound drops the error of an absent key: raft's interface has none but this text, which raft itself compares.
func ignoreNotFound(err error) error {
	if err != nil && err.Error() == errNotFound.Error() {
		return nil
	}
	return err
}

var errNotFound = errors.New("not found")
