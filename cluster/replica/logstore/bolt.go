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

// fileLockTimeout is how long another process is given to let go of a folder.
const fileLockTimeout = 2 * time.Second

// boltLog is a log in one bolt file.
type boltLog struct{ *raftboltdb.BoltStore }

func (boltLog) IsMonotonic() bool { return true }

// GetLog tells damage from what is not there. What can be read at all is in the file's own memory: nothing about it passes.
func (b boltLog) GetLog(index uint64, l *raft.Log) error {
	err := b.BoltStore.GetLog(index, l)
	if err == nil || errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return err
	}
	return &damagedError{err}
}

// openBolt makes a file that is not there under another name first: half a file would be refused for ever.
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
	// Without these options one burst leaves a free list behind that every later append writes again: 10 ms each.
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
