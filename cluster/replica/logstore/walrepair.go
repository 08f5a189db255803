package logstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	walseg "github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// repairTail repairs the last segment after a crash, in two cases that raft-wal 0.4.2 does not handle:
//
//   - The segment is full, and the list of segments does not say so yet. Raft-wal would refuse every append.
//   - An append was torn. Raft-wal drops it and overwrites its start. The rest of it would stay behind the next append, and
//     could be taken for entries of the log after another crash.
//
// In both cases repairTail copies the entries to a new segment, which then replaces the old one. If the segment ends in zeros,
// all its appends are whole and nothing is done.
func (w *walLog) repairTail() error {
	state, err := w.meta.Load(w.dir)
	if err != nil || len(state.Segments) == 0 {
		return err
	}
	tail := state.Segments[len(state.Segments)-1]
	if !tail.SealTime.IsZero() {
		return nil
	}
	clean, entries, err := readTail(w.dir, tail, w.files)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it was not created yet
	}
	if err != nil || clean {
		return err
	}
	w.logger.Info("a write to the log was interrupted: the last segment is rewritten", "folder", w.dir, "entries", len(entries))
	return w.rewriteTail(state, entries)
}

// readTail reports whether the last segment holds nothing behind its entries. If it does hold something, readTail returns the
// entries, in order.
func readTail(dir string, tail types.SegmentInfo, files types.VFS) (clean bool, entries []types.LogEntry, err error) {
	end := &dryFiles{VFS: files}
	w, err := walseg.NewFiler(dir, end).RecoverTail(tail)
	if err != nil {
		return false, nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if clean, err = endsInZeros(w, filepath.Join(dir, walseg.FileName(tail)), end); err != nil || clean {
		return clean, nil, err
	}
	for i := tail.MinIndex; i <= w.LastIndex(); i++ {
		raw, err := w.GetLog(i)
		if err != nil {
			return false, nil, fmt.Errorf("entry %d: %w", i, err)
		}
		entries = append(entries, types.LogEntry{Index: i, Data: slices.Clone(raw.Bs)})
		_ = raw.Close()
	}
	return false, entries, nil
}

func endsInZeros(w types.SegmentWriter, name string, end *dryFiles) (bool, error) {
	sealed, _, err := w.Sealed()
	if err != nil || sealed {
		return false, err
	}
	if w.LastIndex() > 0 {
		if _, err := w.ForceSeal(); err != nil {
			return false, err
		}
	}
	return zerosFrom(name, end.at)
}

// rewriteTail writes the entries to a new segment, and then commits it to the list of segments in place of the last one.
func (w *walLog) rewriteTail(state types.PersistentState, entries []types.LogEntry) error {
	filer := walseg.NewFiler(w.dir, w.files)
	tail := &state.Segments[len(state.Segments)-1]
	fresh := w.nextSegment(&state, tail.BaseIndex)
	if len(entries) > 0 {
		fresh.BaseIndex = entries[0].Index
		fresh.MinIndex = fresh.BaseIndex
	}
	if err := dropSegment(filer, fresh.ID); err != nil { // left by an earlier attempt
		return err
	}
	file, err := filer.Create(fresh)
	if err != nil {
		return err
	}
	err = file.Append(entries)
	sealed, start, sealErr := file.Sealed()
	if err = errors.Join(err, sealErr, file.Close()); err != nil {
		return err
	}
	*tail = fresh
	if sealed {
		tail.IndexStart, tail.SealTime, tail.MaxIndex = start, time.Now(), entries[len(entries)-1].Index
		state.Segments = append(state.Segments, w.nextSegment(&state, tail.MaxIndex+1))
	}
	return w.meta.CommitState(state)
}

func (w *walLog) nextSegment(state *types.PersistentState, base uint64) types.SegmentInfo {
	s := types.SegmentInfo{
		ID: state.NextSegmentID, BaseIndex: base, MinIndex: base, SizeLimit: uint32(w.segment),
		Codec: state.Segments[len(state.Segments)-1].Codec, CreateTime: time.Now(),
	}
	state.NextSegmentID++
	return s
}

func dropSegment(filer *walseg.Filer, id uint64) error {
	list, err := filer.List()
	if err != nil {
		return err
	}
	if base, ok := list[id]; ok {
		return filer.Delete(base, id)
	}
	return nil
}

// dryFiles opens files for writing without writing to them, and records the offset of the latest write.
type dryFiles struct {
	types.VFS
	at int64
}

func (d *dryFiles) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := d.OpenReader(dir, name)
	if err != nil {
		return nil, err
	}
	return &dryFile{ReadableFile: f, end: d}, nil
}

type dryFile struct {
	types.ReadableFile
	end *dryFiles
}

func (f *dryFile) WriteAt(p []byte, at int64) (int, error) {
	f.end.at = at
	return len(p), nil
}

func (*dryFile) Sync() error { return nil }

// zerosFrom reports whether the file holds only zeros from that offset on.
func zerosFrom(name string, at int64) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	buf := make([]byte, 256<<10)
	for {
		n, err := f.ReadAt(buf, at)
		if slices.ContainsFunc(buf[:n], func(b byte) bool { return b != 0 }) {
			return false, nil
		}
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		at += int64(n)
	}
}
