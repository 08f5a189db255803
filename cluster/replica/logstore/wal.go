package logstore

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	walseg "github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"github.com/edgehold/edgehold/api"
)

const (
	// segmentBytes is the size of a segment, which is allocated when the segment is created: an idle group takes that much
	// disk, and truncation frees disk space in such steps. It is about what a snapshot leaves of the log.
	segmentBytes = 16 << 20
	// entryOverhead is an upper bound of the bytes that the store adds to an entry.
	entryOverhead = 128
	// appendBytes bounds one write: offsets in a segment have 32 bits.
	appendBytes = walseg.MaxEntrySize
	// keepAll is the value of walLog.keep if no entry is to be removed.
	keepAll = math.MaxUint64
)

// walLog is a log of segments. Unlike raft-wal alone, it recovers from a failed change, for example on a full disk: before
// the next change it reopens the segments, as after a crash, and removes what the failed change left. (If a new segment cannot
// be created, raft-wal alone refuses every append until the process restarts.)
//
// A read that fails reopens the segments too, since a follower first reads the entry before those that it receives. Reads may
// run concurrently with everything; changes are serialized.
type walLog struct {
	dir     string
	files   types.VFS
	segment int // bytes
	logger  hclog.Logger
	meta    *walMeta
	wal     atomic.Pointer[wal.WAL]

	mu     sync.Mutex // held by changes
	closed bool
	failed bool   // the last change failed; the segments may be closed
	keep   uint64 // the last index before the failed change
}

// walMeta is the store of the term, the vote and the list of segments. It stays open when the segments are reopened.
type walMeta struct{ metadb.BoltMetaDB }

// Close does nothing: raft-wal calls it when the segments close, and the store outlives them.
func (*walMeta) Close() error { return nil }

func openWAL(dir string, logger hclog.Logger) (*walLog, error) {
	return openWALOn(fs.New(), dir, segmentBytes, logger)
}

func openWALOn(files types.VFS, dir string, segment int, logger hclog.Logger) (*walLog, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	if err := checkBolt(filepath.Join(dir, metadb.FileName), true); err != nil {
		return nil, err
	}
	w := &walLog{dir: dir, files: files, segment: segment, logger: logger, meta: new(walMeta)}
	if err := w.open(); err != nil {
		return nil, errors.Join(err, w.meta.BoltMetaDB.Close())
	}
	return w, nil
}

func (w *walLog) open() error {
	if err := w.repairTail(); err != nil {
		return err
	}
	fresh, err := wal.Open(w.dir, wal.WithLogger(w.logger), wal.WithSegmentSize(w.segment), wal.WithMetaStore(w.meta),
		wal.WithSegmentFiler(walseg.NewFiler(w.dir, w.files)))
	if err != nil {
		return err
	}
	w.wal.Store(fresh)
	return nil
}

// Close waits until no segment is being created. Otherwise raft-wal could leave a log that ends in a full segment.
func (w *walLog) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if last, err := w.wal.Load().LastIndex(); err == nil && !w.failed {
		_ = w.wal.Load().DeleteRange(last+1, last+1) // deletes nothing, but waits
	}
	return errors.Join(w.wal.Load().Close(), w.meta.BoltMetaDB.Close())
}

func (w *walLog) IsMonotonic() bool { return true }

func (w *walLog) FirstIndex() (index uint64, err error) {
	err = w.read(func(segments *wal.WAL) (err error) { index, err = segments.FirstIndex(); return err })
	return index, err
}

func (w *walLog) LastIndex() (index uint64, err error) {
	err = w.read(func(segments *wal.WAL) (err error) { index, err = segments.LastIndex(); return err })
	return index, err
}

// GetLog does not find entries that were deleted. Raft-wal alone still finds those in the segment that is being written.
func (w *walLog) GetLog(index uint64, l *raft.Log) error {
	return w.read(func(segments *wal.WAL) error {
		switch first, err := segments.FirstIndex(); {
		case err != nil:
			return err
		case index < first || first == 0:
			return raft.ErrLogNotFound
		}
		return segments.GetLog(index, l)
	})
}

// read calls from, and again after it has reopened the segments if that fails. If it fails then too, the log is damaged.
func (w *walLog) read(from func(*wal.WAL) error) error {
	err := from(w.wal.Load())
	if err == nil || errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || !guardHealOnRead {
		return err
	}
	if err := w.heal(); err != nil {
		return err
	}
	if err = from(w.wal.Load()); err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		return &damagedError{err}
	}
	return err
}

func (w *walLog) StoreLog(l *raft.Log) error { return w.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends all entries. If it fails, those that were written are removed before the next change.
func (w *walLog) StoreLogs(logs []*raft.Log) error {
	for _, l := range logs {
		if n := len(l.Data) + len(l.Extensions); n > walseg.MaxEntrySize-entryOverhead {
			// Raft-wal would write it, and could not read it again.
			return api.Errorf(api.CodeTooLarge, "log entry %d of %d bytes is over the limit of %d bytes", l.Index, n, walseg.MaxEntrySize-entryOverhead)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.heal(); err != nil {
		return err
	}
	last, err := w.wal.Load().LastIndex()
	if err != nil {
		return err
	}
	err = w.append(logs)
	if errors.Is(err, types.ErrSealed) { // the next segment could not be created; perhaps it can be now
		w.fail(last)
		if err = w.heal(); err == nil {
			err = w.append(logs)
		}
	}
	if err != nil {
		w.fail(last)
	}
	return err
}

// append writes in steps of at most appendBytes, or of one entry.
func (w *walLog) append(logs []*raft.Log) error {
	for len(logs) > 0 {
		n, size := 1, cost(logs[0])
		for ; n < len(logs) && size+cost(logs[n]) <= appendBytes; n++ {
			size += cost(logs[n])
		}
		if err := w.wal.Load().StoreLogs(logs[:n]); err != nil {
			return err
		}
		logs = logs[n:]
	}
	return nil
}

func (w *walLog) DeleteRange(low, high uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.heal(); err != nil {
		return err
	}
	err := w.wal.Load().DeleteRange(low, high)
	if err != nil {
		w.fail(keepAll)
	}
	return err
}

func (w *walLog) fail(keep uint64) {
	if w.failed {
		keep = min(keep, w.keep)
	}
	w.failed, w.keep = true, keep
}

// heal reopens the segments after a failed change, and removes the entries that the change left.
func (w *walLog) heal() error {
	if !w.failed {
		return nil
	}
	_ = w.wal.Load().Close() // it may be closed already; its files are released in any case
	if err := w.open(); err != nil {
		return err
	}
	first, last, err := Bounds(w.wal.Load())
	if err != nil {
		return err
	}
	if last > w.keep {
		if err := w.wal.Load().DeleteRange(max(first, w.keep+1), last); err != nil {
			return err
		}
	}
	w.logger.Info("the log was reopened after a failed write", "folder", w.dir)
	w.failed = false
	return nil
}

func (w *walLog) Set(key, value []byte) error { return w.meta.SetStable(key, value) }

// Get returns nil if there is no such key.
func (w *walLog) Get(key []byte) ([]byte, error) { return w.meta.GetStable(key) }

func (w *walLog) SetUint64(key []byte, value uint64) error {
	return w.Set(key, binary.LittleEndian.AppendUint64(nil, value))
}

// GetUint64 returns 0 if there is no such key.
func (w *walLog) GetUint64(key []byte) (uint64, error) {
	b, err := w.Get(key)
	switch {
	case err != nil || b == nil:
		return 0, err
	case len(b) != 8:
		return 0, api.Errorf(api.CodeInternal, "the value of %q in %s is not a number", key, w.dir)
	}
	return binary.LittleEndian.Uint64(b), nil
}
