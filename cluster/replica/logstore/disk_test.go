package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// eachLog runs a test with every kind of log.
func eachLog(t *testing.T, test func(t *testing.T, kind Kind)) {
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) { test(t, kind) })
	}
}

// openSmall opens a log whose segments, if it has any, have a few entries only.
func openSmall(t testing.TB, kind Kind, path string) Disk {
	t.Helper()
	var log Disk
	var err error
	if kind == WAL {
		log, err = openWALOn(noFaults(), path, smallSegment, hclog.NewNullLogger())
	} else {
		log, err = openLog(kind, path, hclog.NewNullLogger())
	}
	if err != nil {
		t.Fatal(err)
	}
	return log
}

const smallSegment = 8 << 10

func closeLog(t testing.TB, l Disk) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// entriesFrom returns n different entries with the indexes first, first+1, and so on.
func entriesFrom(first uint64, n int, size int) []*raft.Log {
	var logs []*raft.Log
	for i := range uint64(n) {
		data := bytes.Repeat([]byte{byte(first + i)}, size)
		logs = append(logs, &raft.Log{Index: first + i, Term: 1 + (first+i)/10, Type: raft.LogCommand, Data: data, AppendedAt: time.Unix(1, 0)})
	}
	return logs
}

// copyFolder returns a copy of the folder: what a crash at this instant leaves, if nothing is being written.
func copyFolder(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestDiskLogAsInMemory does random appends, truncations, restarts and crashes, and compares each log with the one in memory after
// each of them.
func TestDiskLogAsInMemory(t *testing.T) {
	eachLog(t, func(t *testing.T, kind Kind) {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 0))
		dir := t.TempDir()
		stores, err := NewMemory(0).Stores()
		if err != nil {
			t.Fatal(err)
		}
		log := openSmall(t, kind, filepath.Join(dir, "log"))
		for range 400 {
			first, last, _ := Bounds(stores.Log)
			apply := func(change func(l raft.LogStore) error) {
				if err := errors.Join(change(log), change(stores.Log)); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			switch n := rng.IntN(16); {
			case n == 0: // a stop
				closeLog(t, log)
				log = openSmall(t, kind, filepath.Join(dir, "log"))
			case n == 1: // a crash
				dir2 := copyFolder(t, dir)
				closeLog(t, log)
				dir = dir2
				log = openSmall(t, kind, filepath.Join(dir, "log"))
			case n < 4 && last > first: // a snapshot
				high := first + rng.Uint64N(last-first)
				apply(func(l raft.LogStore) error { return l.DeleteRange(first, high) })
			case n < 6 && last > first: // a conflict
				low := last - rng.Uint64N(min(last-first, 20))
				apply(func(l raft.LogStore) error { return l.DeleteRange(low, last) })
			case n == 6 && last > 0 && rng.IntN(4) == 0: // a snapshot was installed
				apply(func(l raft.LogStore) error { return l.DeleteRange(first, last) })
			default:
				next := last + 1
				if last == 0 {
					next = 1 + rng.Uint64N(100)
				}
				logs := entriesFrom(next, 1+rng.IntN(6), rng.IntN(3000))
				apply(func(l raft.LogStore) error { return l.StoreLogs(logs) })
			}
			first, last, _ = Bounds(stores.Log)
			if f, l, err := Bounds(log); f != first || l != last || err != nil {
				t.Fatalf("seed %d: the log is %d-%d (%v), want %d-%d", seed, f, l, err, first, last)
			}
			compareLogs(t, seed, log, stores.Log)
			if first > 1 {
				if err := log.GetLog(first-1, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
					t.Fatalf("seed %d: an entry that was cut off is read as %v", seed, err)
				}
			}
		}
		closeLog(t, log)
	})
}

// TestDiskLogKeepsTermAndVote: absent keys read as absent, and what was set is there after a crash.
func TestDiskLogKeepsTermAndVote(t *testing.T) {
	eachLog(t, func(t *testing.T, kind Kind) {
		dir := t.TempDir()
		log := openSmall(t, kind, filepath.Join(dir, "log"))
		if v, err := readStable(log); v != (stable{}) || err != nil {
			t.Errorf("an empty store holds %+v, %v", v, err)
		}
		for n := range uint64(5) {
			if err := errors.Join(log.SetUint64(keyTerm, n), log.Set(keyCandidate, fmt.Append(nil, n))); err != nil {
				t.Fatal(err)
			}
		}
		crashed := openSmall(t, kind, filepath.Join(copyFolder(t, dir), "log"))
		closeLog(t, log)
		if n, err := crashed.GetUint64(keyTerm); n != 4 || err != nil {
			t.Errorf("the number is %d, %v", n, err)
		}
		if v, err := crashed.Get(keyCandidate); string(v) != "4" || err != nil {
			t.Errorf("the text is %q, %v", v, err)
		}
		closeLog(t, crashed)
	})
}

// TestDiskLogInUse: a folder cannot be locked while it is in use, whatever its kind, and can be when it is free.
func TestDiskLogInUse(t *testing.T) {
	eachLog(t, func(t *testing.T, kind Kind) {
		synctest.Test(t, func(t *testing.T) { // the wait for the lock takes virtual time
			dir := t.TempDir()
			release := openIn(t, dir, kind)
			_, err := Lock(dir)
			wantCode(t, err, api.CodeConflict)
			release()
			release = openIn(t, dir, "")
			if held, err := presentKinds(dir); err != nil || len(held) != 1 || held[0] != kind {
				t.Errorf("the folder has %v, %v", held, err)
			}
			release()
		})
	})
}

// openIn locks the folder and opens its log.
func openIn(t *testing.T, dir string, kind Kind) (release func()) {
	t.Helper()
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	log, err := Open(dir, kind, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		closeLog(t, log)
		if err := unlock(); err != nil {
			t.Error(err)
		}
	}
}

// TestDiskLogFull: while files cannot grow, at the start or later, nothing that was acknowledged is lost. When they can grow again,
// appends succeed without a restart.
func TestDiskLogFull(t *testing.T) {
	if os.Getenv(inChild) != "" { // the limit is the process's
		signal.Ignore(syscall.SIGXFSZ)
		eachLog(t, testDiskLogFull)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiskLogFull$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), inChild+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || bytes.Count(out, []byte("--- PASS")) != 1+len(Kinds()) {
		t.Errorf("%v\n%s", err, out)
	}
}

const inChild = "EDGEHOLD_TEST_CHILD"

func testDiskLogFull(t *testing.T, kind Kind) {
	path := filepath.Join(t.TempDir(), "log")
	limitFiles(t, 2<<10, func() {
		if l, err := openLog(kind, path, hclog.NewNullLogger()); err == nil {
			t.Error("a log opens without room")
			closeLog(t, l)
		}
	})
	log, err := openLog(kind, path, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	last := uint64(0)
	limitFiles(t, 256<<10, func() {
		for failures := 0; failures < 3; {
			if err := log.StoreLogs(entriesFrom(last+1, 3, 4000)); err == nil {
				last += 3
			} else if failures++; !strings.Contains(err.Error(), syscall.EFBIG.Error()) {
				t.Fatal(err)
			}
		}
	})
	if last == 0 {
		t.Fatal("nothing was appended")
	}
	for range 2 {
		if err := log.StoreLogs(entriesFrom(last+1, 2, 4000)); err != nil {
			t.Fatal(err)
		}
		last += 2
		holds(t, log, last, 4000)
		closeLog(t, log)
		if log, err = openLog(kind, path, hclog.NewNullLogger()); err != nil {
			t.Fatal(err)
		}
	}
	holds(t, log, last, 4000)
	closeLog(t, log)
}

// limitFiles bounds the size of this process's files while use runs.
func limitFiles(t *testing.T, bytes uint64, use func()) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			t.Fatal(err)
		}
	}()
	use()
}

func TestKindIsChecked(t *testing.T) {
	for _, k := range append(Kinds(), "") {
		if err := k.Check(); err != nil {
			t.Error(err)
		}
	}
	wantCode(t, Kind("Bolt").Check(), api.CodeInvalid)
}
