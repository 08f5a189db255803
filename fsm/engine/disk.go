package engine

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Disk is a simulated disk for engines, in memory. What was synced survives a crash, which is a [Disk.Crash] at that
// instant; of the rest some does. Safe for concurrent use.
type Disk struct {
	fs    vfs.FS
	mem   linking
	watch atomic.Pointer[func()]
}

// linking is a file system in memory whose links and crashes wait for each other. MemFS takes the lock of its tree and the
// lock against crashes in one order in Link and in the other one elsewhere: with a crash that waits between the two, all
// stand still for ever.
type linking struct {
	*vfs.MemFS
	mu *sync.Mutex
}

func (l linking) Link(oldname, newname string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.MemFS.Link(oldname, newname)
}

func (l linking) CrashClone(cfg vfs.CrashCloneCfg) *vfs.MemFS {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.MemFS.CrashClone(cfg)
}

// NewDisk returns an empty disk.
func NewDisk() *Disk { return newDisk(vfs.NewCrashableMem()) }

func newDisk(mem *vfs.MemFS) *Disk {
	d := &Disk{mem: linking{mem, new(sync.Mutex)}}
	d.fs = errorfs.Wrap(d.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if watch := d.watch.Load(); watch != nil && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			(*watch)()
		}
		return nil
	}))
	return d
}

// Watch calls f before every change of the disk: each write, sync, creation, link, renaming and removal. Several may come
// at once. nil watches no longer.
func (d *Disk) Watch(f func()) {
	if f == nil {
		d.watch.Store(nil)
		return
	}
	d.watch.Store(&f)
}

// Crash is a disk as a loss of power would leave this one at this instant: each block and name that was not synced is there
// with a probability of so many percent. Both disks go their own ways from here.
func (d *Disk) Crash(seed uint64, percent int) *Disk {
	return newDisk(d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 0))}))
}

// Names lists a folder.
func (d *Disk) Names(dir string) ([]string, error) { return d.fs.List(dir) }

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

// writeFile returns when the content is on disk. The name is not.
func writeFile(fs vfs.FS, path string, b []byte) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
