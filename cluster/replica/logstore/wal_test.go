package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	walseg "github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"github.com/edgehold/edgehold/api"
)

// faultyFiles are files whose operations a test can fail or observe.
type faultyFiles struct {
	types.VFS
	mu     sync.Mutex
	create func(name string) error
	sync   func() error
	// write, if not nil, is called before and after every write.
	write func(name string, p []byte, at int64, done bool)
}

func noFaults() *faultyFiles { return &faultyFiles{VFS: fs.New()} }

func (f *faultyFiles) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f.mu.Lock()
	fail := f.create
	f.mu.Unlock()
	if fail != nil {
		if err := fail(name); err != nil {
			return nil, err
		}
	}
	w, err := f.VFS.Create(dir, name, size)
	if err != nil {
		return nil, err
	}
	return &faultyFile{WritableFile: w, files: f, name: filepath.Join(dir, name)}, nil
}

func (f *faultyFiles) OpenWriter(dir, name string) (types.WritableFile, error) {
	w, err := f.VFS.OpenWriter(dir, name)
	if err != nil {
		return nil, err
	}
	return &faultyFile{WritableFile: w, files: f, name: filepath.Join(dir, name)}, nil
}

// set changes the faults.
func (f *faultyFiles) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

type faultyFile struct {
	types.WritableFile
	files *faultyFiles
	name  string
}

func (f *faultyFile) Sync() error {
	f.files.mu.Lock()
	fail := f.files.sync
	f.files.mu.Unlock()
	if fail != nil {
		if err := fail(); err != nil {
			return err
		}
	}
	return f.WritableFile.Sync()
}

func (f *faultyFile) WriteAt(p []byte, at int64) (int, error) {
	f.files.mu.Lock()
	notify := f.files.write
	f.files.mu.Unlock()
	if notify == nil {
		return f.WritableFile.WriteAt(p, at)
	}
	notify(f.name, p, at, false)
	n, err := f.WritableFile.WriteAt(p, at)
	notify(f.name, p, at, true)
	return n, err
}

func openFaulty(t *testing.T, files *faultyFiles, path string) *walLog {
	t.Helper()
	w, err := openWALOn(files, path, smallSegment, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// holds checks that the log has the entries of entriesFrom up to last.
func holds(t *testing.T, l raft.LogStore, last uint64, size int) {
	t.Helper()
	f, e, err := Bounds(l)
	if err != nil || e != last || last > 0 && f != 1 {
		t.Fatalf("the log is %d-%d (%v), want 1-%d", f, e, err, last)
	}
	for i, want := range entriesFrom(1, int(last), size) {
		var got raft.Log
		if err := l.GetLog(uint64(i+1), &got); err != nil || got.Term != want.Term || string(got.Data) != string(want.Data) {
			t.Fatalf("entry %d is of term %d with %d bytes (%v)", i+1, got.Term, len(got.Data), err)
		}
	}
}

// TestWALCrash crashes before, during and after every write to a segment. During a write, the first half of it, the second half or
// the last bytes are on the disk. The log has what was acknowledged and at most the append under way, and it accepts appends, after
// another restart too.
func TestWALCrash(t *testing.T) {
	const size = 700
	files := noFaults()
	dir := t.TempDir()
	log := openFaulty(t, files, filepath.Join(dir, "log"))
	acked, pending, crashes := uint64(0), uint64(0), 0
	check := func(folder string) {
		crashes++
		w := openFaulty(t, noFaults(), filepath.Join(folder, "log"))
		_, last, err := Bounds(w)
		if err != nil || last != acked && last != acked+pending {
			t.Fatalf("the log ends at %d (%v), acknowledged are %d, and %d were under way", last, err, acked, pending)
		}
		for range 2 {
			more := entriesFrom(last+1, 1, size)
			if err := w.StoreLogs(more); err != nil {
				t.Fatalf("after a crash at %d: %v", last, err)
			}
			last++
		}
		holds(t, w, last, size)
		closeLog(t, w)
		w = openFaulty(t, noFaults(), filepath.Join(folder, "log"))
		holds(t, w, last, size)
		closeLog(t, w)
	}
	files.set(func() {
		files.write = func(name string, p []byte, at int64, done bool) {
			if done {
				check(copyFolder(t, dir))
				return
			}
			for _, half := range [][2]int{{0, len(p) / 2}, {len(p) / 2, len(p)}, {len(p) - 8, len(p)}} {
				torn := copyFolder(t, dir)
				f, err := os.OpenFile(filepath.Join(torn, "log", filepath.Base(name)), os.O_RDWR, 0)
				if err == nil {
					_, err = f.WriteAt(p[half[0]:half[1]], at+int64(half[0]))
				}
				if err := errors.Join(err, f.Close()); err != nil {
					t.Fatal(err)
				}
				check(torn)
			}
		}
	})
	for _, n := range []uint64{1, 3, 1, 5, 4, 9, 2, 1, 11, 1, 30, 1, 12} {
		pending = n
		if err := log.StoreLogs(entriesFrom(acked+1, int(n), size)); err != nil {
			t.Fatal(err)
		}
		acked, pending = acked+n, 0
	}
	closeLog(t, log)
	if crashes < 50 {
		t.Errorf("only %d crashes", crashes)
	}
}

// TestWALTornTwice: the rest of a torn append must not become part of the log, even if a shorter append after the crash ends where
// one of its entries starts, and the process crashes again.
func TestWALTornTwice(t *testing.T) {
	const size = 64
	dir := t.TempDir()
	files := noFaults()
	log := openFaulty(t, files, filepath.Join(dir, "log"))
	if err := log.StoreLogs(entriesFrom(1, 2, size)); err != nil {
		t.Fatal(err)
	}
	var torn string
	files.set(func() {
		files.write = func(name string, p []byte, at int64, done bool) {
			if done || torn != "" {
				return
			}
			torn = copyFolder(t, dir)
			f, err := os.OpenFile(filepath.Join(torn, "log", filepath.Base(name)), os.O_RDWR, 0)
			if err == nil {
				_, err = f.WriteAt(p[8:], at+8) // all but its beginning
			}
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}
	})
	if err := log.StoreLogs(entriesFrom(3, 20, size)); err != nil {
		t.Fatal(err)
	}
	closeLog(t, log)
	again := openFaulty(t, noFaults(), filepath.Join(torn, "log"))
	holds(t, again, 2, size)
	if err := again.StoreLogs(entriesFrom(3, 1, size-8)); err != nil { // its commit ends where the torn one's second entry begins
		t.Fatal(err)
	}
	crashed := copyFolder(t, torn)
	closeLog(t, again)
	names, err := filepath.Glob(filepath.Join(crashed, "log", "*.wal"))
	if err != nil || len(names) != 1 {
		t.Fatalf("there are %v, %v", names, err)
	}
	if clean, err := zerosFrom(names[0], 1024); !clean || err != nil {
		t.Errorf("the rest of the torn append is there still (%v)", err)
	}
	w := openFaulty(t, noFaults(), filepath.Join(crashed, "log"))
	if _, last, err := Bounds(w); last != 3 || err != nil {
		t.Errorf("the log ends at %d (%v)", last, err)
	}
	closeLog(t, w)
}

// TestWALCloses: a log that is closed while a new segment is being created needs no repair at the next start.
func TestWALCloses(t *testing.T) {
	var out bytes.Buffer
	logger := hclog.New(&hclog.LoggerOptions{Output: &out})
	path, last := filepath.Join(t.TempDir(), "log"), uint64(0)
	for range 40 {
		log, err := openWALOn(noFaults(), path, smallSegment, logger)
		if err != nil {
			t.Fatal(err)
		}
		if err := log.StoreLogs(entriesFrom(last+1, 10, 1000)); err != nil { // a segment and more
			t.Fatal(err)
		}
		last += 10
		closeLog(t, log)
	}
	if out.Len() > 0 {
		t.Errorf("it was repaired:\n%s", out.String())
	}
}

// TestWALDiskFull: while there is no room for a new segment appends fail, and what was acknowledged stays. When there is room they
// succeed without a restart. The same holds if a write does not reach the disk.
func TestWALDiskFull(t *testing.T) {
	const size = 1000
	for _, what := range []string{"create", "sync"} {
		t.Run(what, func(t *testing.T) {
			files := noFaults()
			path := filepath.Join(t.TempDir(), "log")
			log := openFaulty(t, files, path)
			full := func() error { return syscall.ENOSPC }
			last := uint64(0)
			for round := range 3 {
				files.set(func() {
					if what == "create" {
						files.create = func(string) error { return full() }
					} else {
						files.sync = full
					}
				})
				failures := 0
				for range 40 {
					err := log.StoreLogs(entriesFrom(last+1, 2, size))
					if err == nil {
						last += 2
						continue
					}
					if !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("round %d: %v", round, err)
					}
					if failures++; failures > 3 {
						break
					}
					if err := log.SetUint64(keyTerm, last); err != nil {
						t.Errorf("a term is not taken: %v", err)
					}
				}
				if failures == 0 {
					t.Fatal("nothing failed")
				}
				files.set(func() { files.create, files.sync = nil, nil })
				if err := log.StoreLogs(entriesFrom(last+1, 1, size)); err != nil {
					t.Fatalf("round %d: with room: %v", round, err)
				}
				last++
				holds(t, log, last, size)
			}
			closeLog(t, log)
			log = openFaulty(t, files, path)
			holds(t, log, last, size)
			closeLog(t, log)
		})
	}
}

// TestWALReadsHeal: after a write that failed for lack of room, a follower first reads the entry before those that it receives. That
// read reopens the log, even if its segments were closed. A closed log is not a damaged one.
func TestWALReadsHeal(t *testing.T) {
	const size = 1000
	for _, what := range []string{"write", "closed"} {
		files := noFaults()
		log := openFaulty(t, files, filepath.Join(t.TempDir(), "log"))
		last := uint64(0)
		for ; last < 200; last++ {
			files.set(func() { files.sync = func() error { return syscall.ENOSPC } })
			if last < 20 {
				files.set(func() { files.sync = nil })
			}
			if err := log.StoreLogs(entriesFrom(last+1, 1, size)); err != nil {
				break
			}
		}
		if last != 20 || !log.failed {
			t.Fatalf("the log has %d entries, failed is %v", last, log.failed)
		}
		if what == "closed" {
			_ = log.wal.Load().Close() // as raft-wal does after some errors
		}
		files.set(func() { files.sync = nil })
		holds(t, log, last, size)
		if err := log.StoreLogs(entriesFrom(last+1, 1, size)); err != nil {
			t.Error(err)
		}
		holds(t, log, last+1, size)
		closeLog(t, log)
		var l raft.Log
		if _, damaged := errors.AsType[*damagedError](log.GetLog(1, &l)); damaged {
			t.Error("a log that is closed is no damaged one")
		}
	}
}

// TestBoltFileDamaged: a file that is empty, truncated at any page, or overwritten is an error that names it. The process survives.
func TestBoltFileDamaged(t *testing.T) {
	for _, kind := range Kinds() {
		path := filepath.Join(t.TempDir(), "log")
		log, err := openLog(kind, path, hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(log.StoreLogs(entriesFrom(1, 200, 1000)), log.SetUint64(keyTerm, 7)); err != nil {
			t.Fatal(err)
		}
		closeLog(t, log)
		name := path
		if kind == WAL {
			name = filepath.Join(path, metadb.FileName)
		}
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		try := func(what string, content []byte) {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
			log, err := openLog(kind, path, hclog.NewNullLogger())
			if err == nil { // what is missing may be of no use
				closeLog(t, log)
				return
			}
			refused++
			if !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s, %s: %v", kind, what, err)
			}
		}
		for size := 0; size < len(whole); size += max(4096, len(whole)/4096/16*4096) {
			try(fmt.Sprintf("cut to %d bytes", size), whole[:size])
		}
		for page := 0; page < len(whole)/4096; page += max(1, len(whole)/4096/16) {
			torn := bytes.Clone(whole)
			copy(torn[page*4096:], bytes.Repeat([]byte{0x5a}, 4096))
			try(fmt.Sprintf("page %d overwritten", page), torn)
		}
		if refused < 3 {
			t.Errorf("%s: %d damaged files were refused", kind, refused)
		}
		if err := os.WriteFile(name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if log, err = openLog(kind, path, hclog.NewNullLogger()); err != nil {
			t.Fatal(err)
		}
		holds(t, log, 200, 1000)
		closeLog(t, log)
	}
}

// TestWALNoRoomAtStart: a log that cannot be created for lack of room is an error, and can be created later.
func TestWALNoRoomAtStart(t *testing.T) {
	files := noFaults()
	files.create = func(string) error { return syscall.ENOSPC }
	path := filepath.Join(t.TempDir(), "log")
	for range 2 {
		if _, err := openWALOn(files, path, smallSegment, hclog.NewNullLogger()); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("a log without room opens as %v", err)
		}
	}
	// A disk that fills up leaves a file that is too short.
	names, err := filepath.Glob(filepath.Join(path, "*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("there are %v, %v", names, err)
	}
	if err := os.WriteFile(filepath.Join(path, walseg.FileName(types.SegmentInfo{BaseIndex: 1})), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log := openFaulty(t, noFaults(), path)
	if err := log.StoreLogs(entriesFrom(1, 20, 1000)); err != nil {
		t.Fatal(err)
	}
	holds(t, log, 20, 1000)
	closeLog(t, log)
}

// TestWALTruncationFails: a truncation without room fails, and succeeds later.
func TestWALTruncationFails(t *testing.T) {
	files := noFaults()
	log := openFaulty(t, files, filepath.Join(t.TempDir(), "log"))
	if err := log.StoreLogs(entriesFrom(1, 20, 100)); err != nil {
		t.Fatal(err)
	}
	files.set(func() { files.create = func(string) error { return syscall.ENOSPC } })
	if err := log.DeleteRange(15, 20); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a truncation without room is %v", err)
	}
	files.set(func() { files.create = nil })
	if err := log.DeleteRange(15, 20); err != nil {
		t.Fatal(err)
	}
	if err := log.StoreLogs(entriesFrom(15, 1, 100)); err != nil {
		t.Fatal(err)
	}
	holds(t, log, 15, 100)
	closeLog(t, log)
}

// TestWALEntryTooLarge: an entry that could not be read again is refused.
func TestWALEntryTooLarge(t *testing.T) {
	log := openFaulty(t, noFaults(), filepath.Join(t.TempDir(), "log"))
	wantCode(t, log.StoreLog(&raft.Log{Index: 1, Term: 1, Data: make([]byte, 64<<20)}), api.CodeTooLarge)
	if err := log.StoreLogs(entriesFrom(1, 1, 10)); err != nil {
		t.Error(err)
	}
	closeLog(t, log)
}
