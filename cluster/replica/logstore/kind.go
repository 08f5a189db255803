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

// Kind is a format of the files of a log, a term and a vote. The zero value is the kind that a folder has, or Default for a
// new folder.
type Kind string

const (
	// Bolt is a B+tree (raft-boltdb), with two fsyncs an append.
	Bolt Kind = "bolt"
	// WAL is a log of segments (raft-wal), with one fsync an append. Truncation frees disk space.
	WAL Kind = "wal"
	// Default is the kind of new folders. docs/decisions/0010-log-store.md says why.
	Default = WAL
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{Bolt, WAL} }

// Check returns CodeInvalid if k is not a kind.
func (k Kind) Check() error {
	if k == "" || slices.Contains(Kinds(), k) {
		return nil
	}
	return api.Errorf(api.CodeInvalid, "the log store %q is unknown: choose bolt or wal", string(k))
}

// Disk is a log and a stable store in files. It is safe for concurrent use.
type Disk interface {
	Log
	raft.StableStore
	Close() error
}

// logNames are the names of the logs in a replica's folder: a file for Bolt, a folder for WAL.
var logNames = map[Kind]string{Bolt: "raft.db", WAL: "wal"}

// Open opens the log in the folder dir, and creates it if there is none. If the log there is of another kind than want, Open
// first converts it, however long that takes; "" keeps the kind. The caller holds the folder's [Lock].
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

// openLog opens the log of that kind at path, and creates it if there is none.
func openLog(kind Kind, path string, logger hclog.Logger) (Disk, error) {
	if kind == Bolt {
		return openBolt(path)
	}
	return openWAL(path, logger)
}

// presentKinds returns the kinds of which the folder has a log.
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
