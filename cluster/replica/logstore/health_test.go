package logstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/fs"
)

// TestDamagedLog: in both kinds of log, only an entry that was written and cannot be read is damage.
func TestDamagedLog(t *testing.T) {
	behind := func(uint64) bool { return false }
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			open := func() (Disk, error) {
				if kind == WAL {
					return openWALOn(fs.New(), path, smallSegment, hclog.NewNullLogger())
				}
				return openLog(kind, path, hclog.NewNullLogger())
			}
			log, err := open()
			if err != nil {
				t.Fatal(err)
			}
			entries := entriesFrom(1, 50, 1000)
			for _, e := range entries {
				e.Data = bytes.Repeat([]byte("damage me "), 100)
			}
			if err := log.StoreLogs(entries); err != nil {
				t.Fatal(err)
			}
			closeLog(t, log)
			files := []string{path}
			if kind == WAL {
				files, _ = filepath.Glob(filepath.Join(path, "*.wal"))
			}
			damage(t, files[0], []byte("damage me "))
			if log, err = open(); err != nil {
				return // as good
			}
			defer closeLog(t, log)
			failed := 0
			h := NewHealth(log, hclog.NewNullLogger(), func(error) { failed++ })
			var l raft.Log
			if err := h.GetLog(1000, &l); !errors.Is(err, raft.ErrLogNotFound) || failed > 0 || h.Check(behind) != nil {
				t.Errorf("an entry that is not there: %v, health %v", err, h.Check(behind))
			}
			for i := range entries {
				if err := h.GetLog(uint64(i+1), &l); err == nil && !bytes.Equal(l.Data, entries[i].Data) {
					t.Errorf("entry %d is not what was written", i+1)
				}
			}
			if failed == 0 || h.Check(behind) == nil {
				t.Errorf("damage was met %d times, health %v", failed, h.Check(behind))
			}
		})
	}
}

// damage overwrites the start of each record of the file, beginning with the first one that contains words.
func damage(t *testing.T, name string, words []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, words)
	if at < 0 {
		t.Fatalf("%s does not hold %q", name, words)
	}
	for i := max(0, at-24); i < len(b)-64; i += 1024 { // the header of the record is before the words
		copy(b[i:], bytes.Repeat([]byte{0xa5}, 48))
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTermCannotBeKept: a term that cannot be stored is reported, since Raft does not continue without it.
func TestTermCannotBeKept(t *testing.T) {
	calls := 0
	disk := NewMemory(0)
	stores, err := disk.Stores()
	if err != nil {
		t.Fatal(err)
	}
	s := WatchTerm(failingStable{stores.Stable}, func(error) { calls++ })
	if err := s.SetUint64([]byte("LastVoteTerm"), 1); err == nil || calls != 0 {
		t.Errorf("a vote: %v, %d calls of failed", err, calls)
	}
	if err := s.SetUint64(keyTerm, 1); err == nil || calls != 1 {
		t.Errorf("a term: %v, %d calls of failed", err, calls)
	}
}

type failingStable struct{ raft.StableStore }

func (failingStable) SetUint64([]byte, uint64) error { return syscall.ENOSPC }
