package engine

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// folder is one content of the engine: a database in a folder of its own.
type folder struct {
	p      *Pebble
	name   string
	db     *pebble.DB
	turn   sync.Mutex // held while a generation of the buffer is brought to the database; after the engine's write
	failed error      // guarded by turn: why the database takes no more
	buffer buffer     // guarded by the engine's mu; under write or turn, what only its holder changes may be read without mu
	opts   *pebble.Options
	uses   atomic.Int32 // the engine's own, and one for each snapshot; the last one closes the database
	drop   atomic.Bool  // the files go with the last use
}

// format is the version of Pebble's files. A newer one is taken by a newer Edgehold, for good.
const format = pebble.FormatValueSeparation

func (p *Pebble) options() *pebble.Options {
	o := &pebble.Options{
		FS: p.fs, DisableWAL: true, FormatMajorVersion: format, Logger: quiet{p.cfg.Log, p.cfg.Failed},
		EventListener: p.listener(),
		// A full buffer is far larger and goes to disk without passing a memtable; it counts as one, and four may be on their way.
		MemTableSize: max(uint64(p.cfg.BufferBytes)/4, 64<<10), MemTableStopWritesThreshold: 4 * (4 + 1),
		L0CompactionThreshold: 4, L0StopWritesThreshold: 64, LBaseMaxBytes: 64 << 20, MaxOpenFiles: 512,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
	}
	if p.cfg.Cache != nil {
		o.Cache = p.cfg.Cache.c
	}
	for i := range o.Levels {
		// A machine asks for many keys that are not there.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	o.EnsureDefaults()
	return o
}

// listener reports what the database finds in the background.
func (p *Pebble) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if pebble.IsCorruptionError(err) {
				p.cfg.Failed(err)
				return
			}
			p.cfg.Log(fmt.Sprintf("background work of the database failed, and is tried again: %v", err))
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			p.cfg.Failed(fmt.Errorf("the file %s is damaged: %w", info.Path, info.Details))
		},
	}
}

func (p *Pebble) openFolder(name string, exists bool) (*folder, error) {
	o := p.options()
	o.ErrorIfNotExists, o.ErrorIfExists = exists, !exists
	db, err := pebble.Open(p.path(name), o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f := &folder{p: p, name: name, db: db, buffer: newBuffer(), opts: o}
	f.uses.Store(1)
	return f, nil
}

func (p *Pebble) nextName() string {
	p.made++
	return fmt.Sprintf("%06d", p.made)
}

// newFolder makes an empty content beside the present one.
func (p *Pebble) newFolder() (*folder, error) { return p.openFolder(p.nextName(), false) }

// release ends one use.
func (f *folder) release() error {
	if f.uses.Add(-1) > 0 {
		return nil
	}
	err := f.db.Close()
	if f.drop.Load() {
		err = errors.Join(err, f.p.fs.RemoveAll(f.p.path(f.name)))
	}
	return err
}

// discard ends a folder that never became the present one.
func (f *folder) discard() error {
	f.drop.Store(true)
	return f.release()
}

const (
	pointerFile = "CURRENT"
	pointerTemp = "CURRENT.tmp"
)

// readPointer returns the name of the present folder; "" if there is none yet.
func (p *Pebble) readPointer() (string, error) {
	b, err := readFile(p.fs, p.path(pointerFile))
	if isNotExist(err) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// replace makes f, whose content is complete, the present folder: on disk first, then here.
func (p *Pebble) replace(f *folder) error {
	moved, err := p.point(f)
	if err != nil {
		// If the pointer may have moved, a restart may find either folder: both stay.
		f.drop.Store(!moved)
		return errors.Join(err, f.release())
	}
	p.mu.Lock()
	old := p.live
	p.live = f
	p.mu.Unlock()
	if old == nil {
		return nil
	}
	if err := old.discard(); err != nil {
		p.cfg.Log(fmt.Sprintf("the folder %s was replaced and could not be removed: %v", old.name, err))
	}
	return nil
}

// point moves the pointer to f. After an error, moved reports whether the pointer may have moved.
func (p *Pebble) point(f *folder) (moved bool, err error) {
	if err := f.db.Flush(); err != nil {
		return false, err
	}
	if err := syncFolder(p.fs, p.cfg.Dir); err != nil {
		return false, err
	}
	if err := writeFile(p.fs, p.path(pointerTemp), []byte(f.name+"\n")); err != nil {
		return false, err
	}
	if err := p.fs.Rename(p.path(pointerTemp), p.path(pointerFile)); err != nil {
		return true, err
	}
	return true, syncFolder(p.fs, p.cfg.Dir)
}

// tidy removes what crashes have left behind: every folder but the present one, and a pointer half written.
func (p *Pebble) tidy(present string) error {
	names, err := p.fs.List(p.cfg.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == present || name == pointerFile || name == "LOCK" {
			continue
		}
		if err := p.fs.RemoveAll(p.path(name)); err != nil {
			return err
		}
	}
	return nil
}

// quiet passes on what Pebble calls errors.
type quiet struct {
	log    func(string)
	failed func(error)
}

var _ pebble.Logger = quiet{}

func (quiet) Infof(string, ...any) {}

func (q quiet) Errorf(format string, args ...any) { q.log(fmt.Sprintf(format, args...)) }

// Fatalf must not return: the database is of no use any more, and what is on disk is whole.
func (q quiet) Fatalf(format string, args ...any) {
	err := &endedError{text: fmt.Sprintf(format, args...)}
	for _, a := range args {
		if cause, ok := a.(error); ok {
			err.cause = cause
		}
	}
	q.failed(err)
	panic(err)
}

// endedError is the panic of a database that has given up. No state can be served without it.
type endedError struct {
	text  string
	cause error
}

func (e *endedError) Error() string { return e.text }
func (e *endedError) Unwrap() error { return e.cause }

// EndsProcess marks a panic that must not be caught.
func (*endedError) EndsProcess() {}

func syncFolder(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeFolder makes dir, and the folders above it that do not exist, and syncs the parent. It syncs also if dir exists: an
// earlier call may have been interrupted.
func makeFolder(fs vfs.FS, dir string) error {
	parent := fs.PathDir(dir)
	if _, err := fs.Stat(parent); isNotExist(err) && parent != dir {
		if err := makeFolder(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return syncFolder(fs, parent)
}
