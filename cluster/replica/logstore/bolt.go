package logstore

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// fileLockTimeout is how long Open and Lock wait for another process to release the folder.
const fileLockTimeout = 2 * time.Second

// boltLog is a log in one bolt file.
type boltLog struct{ *raftboltdb.BoltStore }

func (boltLog) IsMonotonic() bool { return true }

// GetLog distinguishes damage from an entry that is not there. The file is mapped into memory, so a read that fails once
// fails always.
func (b boltLog) GetLog(index uint64, l *raft.Log) error {
	err := b.BoltStore.GetLog(index, l)
	if err == nil || errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return err
	}
	return &damagedError{err}
}

// openBolt creates a missing file under a temporary name first: a half-written file would be refused for ever.
func openBolt(path string) (Disk, error) {
	if _, err := os.Lstat(path); os.IsNotExist(err) {
		fresh, err := openBoltFile(path + newSuffix)
		if err == nil {
			err = fresh.Close()
		}
		if err == nil {
			err = os.Rename(path+newSuffix, path)
		}
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(path+newSuffix))
		}
	}
	return openBoltFile(path)
}

func openBoltFile(path string) (Disk, error) {
	if err := checkBolt(path, false); err != nil {
		return nil, err
	}
	// Without these options a burst of writes leaves a long free list, which every later append writes again: 10 ms each.
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path: path,
		BoltOptions: &bbolt.Options{
			Timeout: fileLockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
		},
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, errInUse(filepath.Dir(path), err)
	}
	if err != nil {
		return nil, err
	}
	return boltLog{bolt}, nil
}
