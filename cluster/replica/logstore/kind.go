package logstore

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// Kind is how a replica keeps its log and its term and vote on disk. The zero value keeps the kind that a folder has,
// and is Default in a new one.
type Kind string

const (
	// Bolt is a B+tree (raft-boltdb): two fsyncs an append.
	Bolt Kind = "bolt"
	// WAL is a log of segments (raft-wal): one fsync an append, and what is cut off is given back to the disk.
	WAL Kind = "wal"
	// Default is for folders that have none yet. docs/decisions/0010-log-store.md says why.
	Default = WAL
)

// Kinds are all there are.
func Kinds() []Kind { return []Kind{Bolt, WAL} }

// Check refuses, as CodeInvalid, what is no kind of log.
func (k Kind) Check() error {
	if k == "" || slices.Contains(Kinds(), k) {
		return nil
	}
	return api.Errorf(api.CodeInvalid, "the log store %q is unknown: choose bolt or wal", string(k))
}

// Disk is a log with the stable store beside it, in files.
type Disk interface {
	Log
	raft.StableStore
	Close() error
}

// logNames are what the kinds are called in a replica's folder: a file and a folder.
var logNames = map[Kind]string{Bolt: "raft.db", WAL: "wal"}

// Open opens the log in the folder, and makes it there where it is not. A log of another kind than want is made one of that
// kind before, however long that takes; "" keeps what is there. One process at a time may: the caller holds [Lock].
func Open(dir string, want Kind, logger hclog.Logger) (Disk, error) {
	m := &migration{dir: dir, logger: logger}
	kind, err := m.settle(want)
	if err != nil {
		return nil, err
	}
	log, err := openLog(kind, m.path(kind), logger)
	if err != nil {
		return nil, err
	}
	if err := syncDir(dir); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}

// openLog opens the log of that kind at path, and makes it there where it is not.
func openLog(kind Kind, path string, logger hclog.Logger) (Disk, error) {
	if kind == Bolt {
		return openBolt(path)
	}
	return openWAL(path, logger)
}

// presentKinds are the kinds of which the folder has a log.
func presentKinds(dir string) ([]Kind, error) {
	var held []Kind
	for _, k := range Kinds() {
		switch _, err := os.Lstat(filepath.Join(dir, logNames[k])); {
		case err == nil:
			held = append(held, k)
		case !os.IsNotExist(err):
			return nil, err
		}
	}
	return held, nil
}
