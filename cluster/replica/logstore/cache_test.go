package logstore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/hashicorp/raft"
)

// TestLogCache does random appends and truncations through a small cache and compares every entry with the log itself.
func TestLogCache(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	stores, err := NewMemory(0).Stores()
	if err != nil {
		t.Fatal(err)
	}
	c := NewCache(5000, stores.Log)
	if !c.IsMonotonic() {
		t.Error("the cache hides that the log is monotonic")
	}
	hits := 0
	for range 2000 {
		first, _ := stores.Log.FirstIndex()
		last, _ := stores.Log.LastIndex()
		switch rng.IntN(8) {
		case 0: // a snapshot
			if last > first+5 {
				err = c.DeleteRange(first, first+rng.Uint64N(last-first))
			}
		case 1: // a conflict
			if last > first+5 {
				err = c.DeleteRange(last-rng.Uint64N(4), last)
			}
		case 2: // a snapshot was installed
			if rng.IntN(20) == 0 && last > 0 {
				err = c.DeleteRange(first, last)
			}
		default:
			next := last + 1
			if last == 0 {
				next = 1 + rng.Uint64N(100)
			}
			var logs []*raft.Log
			for i := range 1 + rng.Uint64N(5) {
				logs = append(logs, &raft.Log{Index: next + i, Term: rng.Uint64(), Data: make([]byte, rng.IntN(500))})
			}
			err = c.StoreLogs(logs)
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		hits += len(c.entries)
		if c.bytes > 5000 {
			t.Fatalf("seed %d: the cache holds %d bytes", seed, c.bytes)
		}
		compareLogs(t, seed, c, stores.Log)
	}
	if hits == 0 {
		t.Error("the cache is always empty")
	}
}

func compareLogs(t *testing.T, seed uint64, a, b raft.LogStore) {
	t.Helper()
	first, _ := b.FirstIndex()
	last, _ := b.LastIndex()
	size := 0
	for i := first; i <= last+1; i++ {
		var x, y raft.Log
		errA, errB := a.GetLog(i, &x), b.GetLog(i, &y)
		if !errors.Is(errA, errB) || x.Term != y.Term || !bytes.Equal(x.Data, y.Data) {
			t.Fatalf("seed %d: entry %d of %d-%d is %v (%v) and %v (%v)", seed, i, first, last, x.Term, errA, y.Term, errB)
		}
		size += len(x.Data)
	}
	_ = size
}
