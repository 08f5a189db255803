package logstore

import (
	"errors"
	"os"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// Stores is the durable state of one replica.
type Stores struct {
	Log       raft.LogStore
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

// keyIdentity is where the stable store holds whose state it is.
var keyIdentity = []byte("edgehold/replica")

// Claim makes fresh stores those of this replica, and refuses, as CodeConflict, those of another.
func Claim(stable raft.StableStore, group, node string) error {
	mine := group + "\x00" + node
	switch held, err := stable.Get(keyIdentity); {
	case err == nil && string(held) == mine:
		return nil
	case err == nil && len(held) > 0:
		return api.Errorf(api.CodeConflict, "the durable state is that of %q, not of node %s in group %s", held, node, group)
	case err != nil && !isNotFound(err):
		return err
	}
	return stable.Set(keyIdentity, []byte(mine))
}

// isNotFound knows the error of an absent key: raft's interface has none but this text, which raft itself compares.
func isNotFound(err error) bool { return err.Error() == errNotFound.Error() }

var errNotFound = errors.New("not found")
