package engine

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Config describes an engine on disk. Dir is required; everything else has a working zero value.
type Config struct {
	// Dir is the engine's folder, which is made if it does not exist. It belongs to one engine at a time.
	Dir string
	// Cache is memory for what is read again, which engines may share; nil is one of 8 MiB.
	Cache *Cache
	// BufferBytes is how much of what was written collects in memory before it goes to disk; 0 is 16 MiB. As much again, of
	// what went last, stays in memory to be read, and up to four times that may be on its way.
	BufferBytes int
	// Disk replaces the disk by a simulated one (tests).
	Disk *Disk
	// Log, if not nil, is called with what goes wrong in the background.
	Log func(msg string)
	// Failed, if not nil, is called when the engine can no longer be relied on: its files are damaged, or what was committed
	// cannot be written. A read, a write or background work calls it, perhaps more than once. The owner of the engine then
	// ends what uses it.
	Failed func(err error)
}

// Cache is memory that engines share.
type Cache struct{ c *pebble.Cache }

// NewCache returns a cache of that size.
func NewCache(bytes int64) *Cache { return &Cache{pebble.NewCache(bytes)} }

// Close gives the memory back once the engines that use it are closed.
func (c *Cache) Close() { c.c.Unref() }

// ErrClosed is returned by an engine after its Close.
var ErrClosed = errors.New("engine: closed")

// Pebble is an engine on disk: a log-structured merge tree without a log of its own, since its owner can write again what a
// crash has lost (see [Durable]).
//
// The content is a database in a folder of its own below Config.Dir, and a pointer names the present folder. To replace the
// content is to write another folder and then the pointer.
type Pebble struct {
	cfg    Config
	fs     vfs.FS
	unlock io.Closer

	write sync.Mutex     // held to change the buffer's content, before mu
	tasks sync.WaitGroup // full buffers on their way to the database; begun under write

	mu    sync.RWMutex // held for reading while live or its buffer is read
	live  *folder      // nil once closed
	made  uint64       // number of the newest folder; the writer's
	batch *changes     // of the one batch that there may be
}

var _ Durable = (*Pebble)(nil)

// OpenPebble opens the engine, with the content of its folder. A panic of the database while it opens is returned as an error.
func OpenPebble(cfg Config) (_ *Pebble, err error) {
	defer func() {
		switch x := recover().(type) {
		case nil:
		case error:
			err = fmt.Errorf("engine: open %s: %w", cfg.Dir, x)
		default:
			err = fmt.Errorf("engine: open %s: %v", cfg.Dir, x)
		}
	}()
	p := &Pebble{cfg: cfg, fs: vfs.Default, batch: newBatchChanges()}
	if cfg.Disk != nil {
		p.fs = cfg.Disk.fs
	}
	if p.cfg.Log == nil {
		p.cfg.Log = func(string) {}
	}
	if p.cfg.Failed == nil {
		p.cfg.Failed = func(error) {}
	}
	if p.cfg.BufferBytes == 0 {
		p.cfg.BufferBytes = 16 << 20
	}
	if err := p.open(); err != nil {
		if p.unlock != nil {
			err = errors.Join(err, p.unlock.Close())
		}
		return nil, fmt.Errorf("engine: open %s: %w", cfg.Dir, err)
	}
	return p, nil
}

func (p *Pebble) open() error {
	err := makeFolder(p.fs, p.cfg.Dir)
	if err == nil {
		p.unlock, err = p.fs.Lock(p.path("LOCK"))
	}
	if err != nil {
		return err
	}
	name, err := p.readPointer()
	if err != nil {
		return err
	}
	if err := p.tidy(name); err != nil {
		return err
	}
	if name == "" {
		f, err := p.newFolder()
		if err != nil {
			return err
		}
		return p.replace(f)
	}
	if p.made, err = strconv.ParseUint(name, 10, 64); err != nil {
		return fmt.Errorf("the pointer names %q, which is not a folder of this engine", name)
	}
	p.live, err = p.openFolder(name, true)
	return err
}

func (p *Pebble) path(name string) string { return p.fs.PathJoin(p.cfg.Dir, name) }

// use returns the present folder, which stays open until it is released.
func (p *Pebble) use() (*folder, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.live == nil {
		return nil, ErrClosed
	}
	p.live.uses.Add(1)
	return p.live, nil
}

// Get implements Reader.
func (p *Pebble) Get(key []byte) ([]byte, bool, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.live == nil {
		return nil, false, ErrClosed
	}
	v, ok, err := p.live.buffer.get(reader{p.live.db}, key)
	return v, ok, p.note(err)
}

// note reports an error of the database.
func (p *Pebble) note(err error) error {
	if err != nil && !errors.Is(err, ErrClosed) {
		p.cfg.Failed(err)
	}
	return err
}

// Scan implements Reader.
func (p *Pebble) Scan(lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.live == nil {
		return ErrClosed
	}
	return p.note(p.live.buffer.scan(reader{p.live.db}, lo, hi, reverse, visit))
}

// NewBatch implements Engine.
func (p *Pebble) NewBatch() Batch { return &overlay{below: p, changes: p.batch, commit: p.commit} }

// commit adds the changes to the buffer. A full one is on its way to the database when it returns: neither writes nor reads
// wait for that, unless the next one is full before it is there.
func (p *Pebble) commit(cs *changes) error {
	p.write.Lock()
	defer p.write.Unlock()
	f, err := p.use()
	if err != nil {
		return err
	}
	p.mu.Lock()
	f.buffer.add(cs)
	p.mu.Unlock()
	if f.buffer.fresh.bytes < p.cfg.BufferBytes {
		return f.release()
	}
	settle := f.drain()
	if f.failed != nil {
		return errors.Join(settle(), f.release())
	}
	p.tasks.Go(func() {
		if err := errors.Join(settle(), f.release()); err != nil { // the next drain returns it too
			p.cfg.Failed(fmt.Errorf("a commit was not written to the database %s: %w", f.name, err))
		}
	})
	return nil
}

// Snapshot implements Engine.
func (p *Pebble) Snapshot() Snapshot {
	p.write.Lock()
	defer p.write.Unlock()
	f, err := p.use()
	if err != nil {
		return failed{err}
	}
	if err := f.drain()(); err != nil {
		return failed{errors.Join(err, f.release())}
	}
	return &pebbleSnapshot{f: f, s: f.db.NewSnapshot()}
}

// Flush implements Durable.
func (p *Pebble) Flush() error { return p.flushed(func(*folder) error { return nil }) }

// Checkpoint implements Durable.
func (p *Pebble) Checkpoint(dir string) error {
	return p.flushed(func(f *folder) error { return f.db.Checkpoint(dir) })
}

// flushed does something with the present folder when all that had been committed before is on disk.
func (p *Pebble) flushed(do func(*folder) error) error {
	f, err := p.use()
	if err != nil {
		return err
	}
	p.write.Lock()
	settle := f.drain()
	p.write.Unlock()
	if err = settle(); err == nil {
		err = f.db.Flush()
	}
	if err == nil {
		err = do(f)
	}
	return errors.Join(err, f.release())
}

// Close implements Engine. What was committed is on disk then.
func (p *Pebble) Close() error {
	p.write.Lock()
	defer p.write.Unlock()
	p.mu.Lock()
	f := p.live
	p.live = nil
	p.mu.Unlock()
	if f == nil {
		return nil
	}
	err := f.drain()()
	p.tasks.Wait() // the uses of the folder
	if err == nil {
		err = f.db.Flush()
	}
	return errors.Join(err, f.release(), p.unlock.Close())
}

// get copies the value: Pebble's own is gone when the block that holds it is.
func get(r pebble.Reader, key []byte) ([]byte, bool, error) {
	v, done, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	v = slices.Clone(v)
	return v, true, done.Close()
}

func scanPebble(r pebble.Reader, lo, hi []byte, reverse bool, visit func(k, v []byte) bool) (err error) {
	if hi != nil && text(lo) >= text(hi) {
		return nil
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	start, step := it.First, it.Next
	if reverse {
		start, step = it.Last, it.Prev
	}
	for ok := start(); ok; ok = step() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if !visit(it.Key(), v) {
			return nil
		}
	}
	return it.Error()
}

// pebbleSnapshot keeps its folder open.
type pebbleSnapshot struct {
	f *folder
	s *pebble.Snapshot
}

func (s *pebbleSnapshot) Get(key []byte) ([]byte, bool, error) {
	v, ok, err := get(s.s, key)
	return v, ok, s.f.p.note(err)
}

func (s *pebbleSnapshot) Scan(lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	return s.f.p.note(scanPebble(s.s, lo, hi, reverse, visit))
}

func (s *pebbleSnapshot) Close() error { return errors.Join(s.s.Close(), s.f.release()) }

// failed is the snapshot that could not be had.
type failed struct{ err error }

func (f failed) Get([]byte) ([]byte, bool, error)                         { return nil, false, f.err }
func (f failed) Scan(_, _ []byte, _ bool, _ func(k, v []byte) bool) error { return f.err }
func (f failed) Close() error                                             { return nil }
