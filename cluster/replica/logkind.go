package replica

import (
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// LogKind is how a replica keeps its log and its term and vote on disk. The zero value keeps the kind that a folder has,
// and is DefaultLog in a new one.
type LogKind string

const (
	// LogBolt is a B+tree (raft-boltdb): two fsyncs an append.
	LogBolt LogKind = "bolt"
	// LogWAL is a log of segments (raft-wal): one fsync an append, and what is cut off is given back to the disk.
	LogWAL LogKind = "wal"
	// DefaultLog is for folders that have none yet. docs/decisions/0010-log-store.md says why.
	DefaultLog = LogWAL
)

// LogKinds are all there are.
func LogKinds() []LogKind { return []LogKind{LogBolt, LogWAL} }

// Check refuses, as CodeInvalid, what is no kind of log.
func (k LogKind) Check() error {
	switch k {
	case "", LogBolt, LogWAL:
		return nil
	}
	return api.Errorf(api.CodeInvalid, "the log store %q is unknown: choose bolt or wal", string(k))
}

// diskLog is a log with the stable store beside it, in files. It is monotonic: see raft.MonotonicLogStore.
type diskLog interface {
	raft.LogStore
	raft.MonotonicLogStore
	raft.StableStore
	Close() error
}

// logNames are what the kinds are called in a replica's folder: a file and a folder.
var logNames = map[LogKind]string{LogBolt: "raft.db", LogWAL: "wal"}

// openLog opens the log of that kind at path, and makes it there where it is not. One process at a time may: see lockDir.
func openLog(kind LogKind, path string, logger hclog.Logger) (diskLog, error) {
	if kind == LogBolt {
		return openBolt(path)
	}
	return openWAL(path, logger)
}

// heldKinds are the kinds of which the folder has a log.
func heldKinds(dir string) ([]LogKind, error) {
	var held []LogKind
	for _, k := range LogKinds() {
		switch _, err := os.Lstat(filepath.Join(dir, logNames[k])); {
		case err == nil:
			held = append(held, k)
		case !os.IsNotExist(err):
			return nil, err
		}
	}
	return held, nil
}
