package replica

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// TestLogCache does random appends and truncations behind a small cache and compares every entry with the log itself.
func TestLogCache(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	stores, err := NewMemoryStores(0).Stores()
	if err != nil {
		t.Fatal(err)
	}
	c := newLogCache(5000, stores.Log)
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

// TestIdentity refuses the durable state of another replica.
func TestIdentity(t *testing.T) {
	stores, err := NewMemoryStores(0).Stores()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := identify(stores.Stable, "g", "n0"); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range [][2]string{{"g", "n1"}, {"h", "n0"}} {
		wantCode(t, identify(stores.Stable, other[0], other[1]), api.CodeConflict)
	}
}

// TestBootstrapInterrupted crashes between the two writes by which a group is founded.
func TestBootstrapInterrupted(t *testing.T) {
	simulate(t, 1, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		g.crash(l.name)
		l.disk = NewMemoryStores(time.Millisecond)
		stores, err := l.disk.Stores()
		if err != nil {
			t.Fatal(err)
		}
		if err := stores.Stable.SetUint64([]byte("CurrentTerm"), 1); err != nil {
			t.Fatal(err)
		}
		g.start(l.name, 1)
		g.must(g.leader(), "founded")
	})
}

func TestConfigIsChecked(t *testing.T) {
	n := newNetwork(0)
	disk := NewMemoryStores(0)
	for i, c := range []Config{
		{},
		{Group: "g", Node: "n"},
		{Group: "g", Node: "n", Stores: disk.Stores},
		{Group: "g", Node: "n\x00", Stores: disk.Stores, Streams: n.endpoint("n")},
		{Group: "g", Node: "n", Streams: n.endpoint("n")},
		{Group: "g", Node: "n", Stores: disk.Stores, Streams: n.endpoint("n"), Members: []Member{{Node: "a"}, {Node: "a"}}},
	} {
		if _, err := Open[result](c, new(register)); !errors.Is(err, api.CodeInvalid) {
			t.Errorf("config %d opens as %v", i, err)
		}
	}
	broken := Config{Group: "g", Node: "n", Streams: n.endpoint("n"), Stores: func() (Stores, error) { return Stores{}, fmt.Errorf("no disk") }}
	if _, err := Open[result](broken, new(register)); !errors.Is(err, api.CodeInternal) {
		t.Errorf("a broken disk opens as %v", err)
	}
}
