package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestDamagedBlock: whatever meets a damaged block calls Failed, since the engine cannot be relied on: a read, a scan, a snapshot, and
// the work in the background.
func TestDamagedBlock(t *testing.T) {
	for name, meet := range map[string]func(p *Pebble) error{
		"get":  func(p *Pebble) error { _, _, err := p.Get([]byte("key 0500")); return err },
		"scan": func(p *Pebble) error { return p.Scan(nil, nil, false, func(k, v []byte) bool { return true }) },
		"batch": func(p *Pebble) error {
			b := p.NewBatch()
			defer b.Discard()
			_, _, err := b.Get([]byte("key 0500"))
			return err
		},
		"snapshot": func(p *Pebble) error {
			s := p.Snapshot()
			return errors.Join(s.Scan(nil, nil, true, func(k, v []byte) bool { return true }), s.Close())
		},
		"compaction": func(p *Pebble) error {
			b := p.NewBatch() // of what lies in the tables' way
			for i := range 1000 {
				if err := b.Set(fmt.Appendf(nil, "key %04d", i), []byte("new")); err != nil {
					return err
				}
			}
			if err := errors.Join(b.Commit(), p.Flush()); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // it tries again and again
			defer cancel()
			return p.live.db.Compact(ctx, []byte("a"), []byte("z"), false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			p := openPebble(t, Config{Dir: dir})
			var rows []string
			for i := range 1000 {
				rows = append(rows, fmt.Sprintf("key %04d=%s", i, strings.Repeat(fmt.Sprint(i), 200)))
			}
			write(t, p, rows...)
			try(t, p.Flush())
			try(t, p.Close())
			damageTables(t, dir)
			var failures atomic.Int32
			p = openPebble(t, Config{Dir: dir, Failed: func(error) { failures.Add(1) }})
			if err := meet(p); err == nil {
				t.Error("the damage was not met")
			}
			for end := time.Now().Add(10 * time.Second); failures.Load() == 0 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if failures.Load() == 0 {
				t.Error("Failed was not called")
			}
			_ = p.Close() // it may fail
			if _, _, err := p.Get([]byte("k")); !errors.Is(err, ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
			was := failures.Load()
			if _, _, err := p.Get([]byte("k")); err == nil || failures.Load() != was {
				t.Error("that the engine is closed is no failure")
			}
		})
	}
}

// damageTables flips bytes in the middle of every table.
func damageTables(t *testing.T, dir string) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("tables: %v, %v", tables, err)
	}
	for _, name := range tables {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		from := len(b) / 10
		copy(b[from:], bytes.Repeat([]byte{0xa5}, len(b)/2))
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
