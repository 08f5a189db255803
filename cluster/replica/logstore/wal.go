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
	// segmentBytes is how much of the disk a segment takes at once: that much an idle group has, and by that much what is
	// cut off is given back. The log is cut to a quarter of Limits.SnapshotBytes, which is 16 MiB.
	segmentBytes = 16 << 20
	// entryOverhead is more than the store adds to an entry.
	entryOverhead = 128
	// appendBytes Bounds one write: offsets within a segment are of 32 bits.
	appendBytes = walseg.MaxEntrySize
	// keepAll is for a log of which nothing is to be taken back.
	keepAll = math.MaxUint64
)

// walLog is a log of segments. It adds to raft-wal that a failed change, such as one for which the disk had no room, leaves
// nothing behind: before the next change the segments are opened anew, as after a crash. (raft-wal alone would refuse
// every append until the process is started again where a new segment could not be made.)
//
// A read that fails opens them anew, too: a follower reads the entry before those that it is sent first. Reads may run beside
// everything. Changes take turns.
type walLog struct {
	dir     string
	files   types.VFS
	segment int // bytes
	logger  hclog.Logger
	meta    *walMeta
	wal     atomic.Pointer[wal.WAL]

	mu     sync.Mutex // of those who change the log
	closed bool
	failed bool   // the last change did; the segments may be closed
	keep   uint64 // where the log ended before it
}

// walMeta is the store of term, vote and the list of segments. It stays open when the segments are opened anew.
type walMeta struct{ metadb.BoltMetaDB }

// Close is for the segments, which end before it.
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

// Close waits until no new segment is being made: raft-wal would leave the log ending in a full one.
func (w *walLog) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if last, err := w.wal.Load().LastIndex(); err == nil && !w.failed {
		_ = w.wal.Load().DeleteRange(last+1, last+1) // nothing, but it waits
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

// GetLog does not find what was cut off; raft-wal would while it stands in the segment that is being written.
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

// read reads, again after the segments were opened anew if it fails. One that fails then, too, has met damage.
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

// StoreLogs appends all of them or, where it fails, none that is still there after the next change.
func (w *walLog) StoreLogs(logs []*raft.Log) error {
	for _, l := range logs {
		if n := len(l.Data) + len(l.Extensions); n > walseg.MaxEntrySize-entryOverhead {
			// It could be written and never be read again.
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
	if errors.Is(err, types.ErrSealed) { // the next segment could not be made; perhaps it can now
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

// append writes no more than appendBytes, or one entry, at once.
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

// heal opens the segments anew after a failed change, and takes back what of it is there nevertheless.
func (w *walLog) heal() error {
	if !w.failed {
		return nil
	}
	_ = w.wal.Load().Close() // it may be closed; what it held open is given up in any case
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
	w.logger.Info("the log was opened anew after a failed write", "folder", w.dir)
	w.failed = false
	return nil
}

func (w *walLog) Set(key, value []byte) error { return w.meta.SetStable(key, value) }

// Get is nil where there is no such key.
func (w *walLog) Get(key []byte) ([]byte, error) { return w.meta.GetStable(key) }

func (w *walLog) SetUint64(key []byte, value uint64) error {
	return w.Set(key, binary.LittleEndian.AppendUint64(nil, value))
}

// GetUint64 is 0 where there is no such key.
func (w *walLog) GetUint64(key []byte) (uint64, error) {
	b, err := w.Get(key)
	switch {
	case err != nil || b == nil:
		return 0, err
	case len(b) != 8:
		return 0, api.Errorf(api.CodeInternal, "the value of %q in %s is no number", key, w.dir)
	}
	return binary.LittleEndian.Uint64(b), nil
}
