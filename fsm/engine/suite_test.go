package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// suite is what every engine passes. open returns an empty one.
func suite(t *testing.T, open func(t *testing.T) Engine) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, e Engine)
	}{
		{"Empty", testEmpty}, {"Bounds", testBounds}, {"OwnWrites", testOwnWrites}, {"Discard", testDiscard},
		{"BuffersAreTheCallers", testBuffers}, {"Snapshot", testSnapshot}, {"Load", testLoad}, {"LoadDiscard", testLoadDiscard},
		{"Clear", testClear}, {"Random", testRandom}, {"BatchAfterBatch", testBatchAfterBatch}, {"Concurrent", testConcurrent},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := open(t)
			c.run(t, e)
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMemory(t *testing.T) {
	suite(t, func(*testing.T) Engine { return NewMemory() })
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write commits the pairs: k=v sets, k deletes.
func write(t *testing.T, e Engine, pairs ...string) {
	t.Helper()
	b := e.NewBatch()
	put(t, b, pairs...)
	try(t, b.Commit())
	b.Discard()
}

func want(t *testing.T, r Reader, k, v string) {
	t.Helper()
	got, ok, err := r.Get([]byte(k))
	try(t, err)
	if !ok || string(got) != v {
		t.Fatalf("%q is %q (%v), want %q", k, got, ok, v)
	}
}

func wantNone(t *testing.T, r Reader, k string) {
	t.Helper()
	if got, ok, err := r.Get([]byte(k)); ok || err != nil {
		t.Fatalf("%q is %q (%v), want nothing", k, got, err)
	}
}

// dump is a scan as text.
func dump(t *testing.T, r Reader, lo, hi []byte, reverse bool) (out []string) {
	t.Helper()
	try(t, r.Scan(lo, hi, reverse, func(k, v []byte) bool {
		out = append(out, string(k)+"="+string(v))
		return true
	}))
	return out
}

// put makes the changes: "k=v" sets, "k" deletes.
func put(t *testing.T, b Batch, pairs ...string) {
	t.Helper()
	for _, p := range pairs {
		if k, v, ok := bytes.Cut([]byte(p), []byte("=")); ok {
			try(t, b.Set(k, v))
		} else {
			try(t, b.Delete(k))
		}
	}
}

func wantScan(t *testing.T, r Reader, lo, hi []byte, pairs ...string) {
	t.Helper()
	if got := dump(t, r, lo, hi, false); !slices.Equal(got, pairs) {
		t.Fatalf("[%q,%q) is %q, want %q", lo, hi, got, pairs)
	}
	back := slices.Clone(pairs)
	slices.Reverse(back)
	if got := dump(t, r, lo, hi, true); !slices.Equal(got, back) {
		t.Fatalf("[%q,%q) backwards is %q, want %q", lo, hi, got, back)
	}
}

func testEmpty(t *testing.T, e Engine) {
	wantNone(t, e, "a")
	wantScan(t, e, nil, nil)
	write(t, e, "a") // deletes what is not there
	wantScan(t, e, nil, nil)
	write(t, e, "a=")
	want(t, e, "a", "")
	wantNone(t, e, "")
	b := e.NewBatch()
	if b.Set(nil, []byte("v")) == nil || b.Insert(nil, nil) == nil || b.Delete(nil) == nil {
		t.Error("a batch took an empty key")
	}
	b.Discard()
	l, err := e.NewLoad()
	try(t, err)
	if l.Set(nil, []byte("v")) == nil {
		t.Error("a load took an empty key")
	}
	l.Discard()
}

func testBounds(t *testing.T, e Engine) {
	write(t, e, "a=1", "b=2", "b\x00=3", "c=4", "\xff=5")
	b := e.NewBatch()
	defer b.Discard()
	put(t, b, "a=1")
	s := e.Snapshot()
	for _, r := range []Reader{e, b, s} {
		wantScan(t, r, nil, nil, "a=1", "b=2", "b\x00=3", "c=4", "\xff=5")
		wantScan(t, r, []byte("b"), []byte("c"), "b=2", "b\x00=3")
		wantScan(t, r, []byte("b\x00"), nil, "b\x00=3", "c=4", "\xff=5")
		wantScan(t, r, []byte("aa"), []byte("bb"), "b=2", "b\x00=3")
		wantScan(t, r, []byte("c"), []byte("b"))
		wantScan(t, r, []byte("b"), []byte("b"))
		wantScan(t, r, nil, []byte{})
		for _, reverse := range []bool{false, true} {
			n := 0
			try(t, r.Scan(nil, nil, reverse, func(_, _ []byte) bool { n++; return n < 2 }))
			if n != 2 {
				t.Fatalf("a scan that was to stop at 2 went to %d", n)
			}
		}
	}
	try(t, s.Close())
}

func testOwnWrites(t *testing.T, e Engine) {
	write(t, e, "a=1", "c=3", "e=5")
	b := e.NewBatch()
	put(t, b, "a", "b=2", "c=33", "f=6", "g=7", "g")
	wantNone(t, b, "a")
	want(t, b, "c", "33")
	want(t, b, "e", "5")
	wantNone(t, b, "g")
	wantScan(t, b, nil, nil, "b=2", "c=33", "e=5", "f=6")
	wantScan(t, b, []byte("a"), []byte("c"), "b=2")
	wantScan(t, b, []byte("f"), nil, "f=6")
	for _, reverse := range []bool{false, true} {
		for stop := 1; stop <= 4; stop++ {
			n := 0
			try(t, b.Scan(nil, nil, reverse, func(_, _ []byte) bool { n++; return n < stop }))
			if n != stop {
				t.Fatalf("a scan that was to stop at %d went to %d", stop, n)
			}
		}
	}
	wantScan(t, e, nil, nil, "a=1", "c=3", "e=5")
	try(t, b.Commit())
	b.Discard()
	wantScan(t, e, nil, nil, "b=2", "c=33", "e=5", "f=6")
}

func testDiscard(t *testing.T, e Engine) {
	write(t, e, "a=1")
	b := e.NewBatch()
	put(t, b, "a=2", "b=3")
	b.Discard()
	wantScan(t, e, nil, nil, "a=1")
}

func testBuffers(t *testing.T, e Engine) {
	k := []byte("k")
	b := e.NewBatch()
	try(t, b.Set(k, []byte("v")))
	k[0] = 'x'
	try(t, b.Delete(k))
	want(t, b, "k", "v")
	try(t, b.Commit())
	k[0] = 'y'
	wantScan(t, e, nil, nil, "k=v")
	l, err := e.NewLoad()
	try(t, err)
	try(t, l.Set(k, []byte("v")))
	k[0] = 'z'
	try(t, l.Commit())
	wantScan(t, e, nil, nil, "y=v")
}

func testSnapshot(t *testing.T, e Engine) {
	write(t, e, "a=1", "b=2")
	one := e.Snapshot()
	write(t, e, "a=11", "b", "c=3")
	two := e.Snapshot()
	write(t, e, "a", "d=4")
	wantScan(t, one, nil, nil, "a=1", "b=2")
	wantScan(t, two, nil, nil, "a=11", "c=3")
	try(t, e.Clear())
	want(t, one, "b", "2")
	wantNone(t, one, "c")
	wantScan(t, e, nil, nil)
	try(t, one.Close())
	wantScan(t, two, nil, nil, "a=11", "c=3")
	try(t, two.Close())
}

func testLoad(t *testing.T, e Engine) {
	write(t, e, "a=1", "z=26")
	l, err := e.NewLoad()
	try(t, err)
	for i := range 1000 {
		try(t, l.Set(fmt.Appendf(nil, "%04d", i), []byte("v")))
	}
	if l.Set([]byte("0999"), nil) == nil || l.Set([]byte("0"), nil) == nil {
		t.Fatal("a load took keys that do not rise")
	}
	wantScan(t, e, nil, nil, "a=1", "z=26")
	try(t, l.Commit())
	l.Discard()
	if n := len(dump(t, e, nil, nil, false)); n != 1000 {
		t.Fatalf("%d keys after the load", n)
	}
	write(t, e, "0500", "0500x=1")
	wantScan(t, e, []byte("0499"), []byte("0502"), "0499=v", "0500x=1", "0501=v")
}

func testLoadDiscard(t *testing.T, e Engine) {
	write(t, e, "a=1")
	l, err := e.NewLoad()
	try(t, err)
	try(t, l.Set([]byte("b"), []byte("2")))
	l.Discard()
	wantScan(t, e, nil, nil, "a=1")
	if l, err = e.NewLoad(); err != nil {
		t.Fatal(err)
	}
	try(t, l.Commit())
	wantScan(t, e, nil, nil)
}

func testClear(t *testing.T, e Engine) {
	write(t, e, "a=1", "b=2")
	try(t, e.Clear())
	wantScan(t, e, nil, nil)
	write(t, e, "b=3")
	wantScan(t, e, nil, nil, "b=3")
}

// testRandom compares the engine, a batch on it and snapshots of it with maps.
func testRandom(t *testing.T, e Engine) {
	const seed = 42
	r := rand.New(rand.NewPCG(seed, 0))
	state := map[string]string{}
	type taken struct {
		s    Snapshot
		when map[string]string
	}
	var snaps []taken
	for round := range 300 {
		b := e.NewBatch()
		next := maps.Clone(state)
		for range r.IntN(20) {
			changeAtRandom(t, r, b, next, randomKey(r), fmt.Sprint(round))
			if r.IntN(4) == 0 {
				compare(t, r, b, next)
			}
		}
		state = endAtRandom(t, r, e, b, state, next)
		if r.IntN(10) == 0 {
			snaps = append(snaps, taken{e.Snapshot(), maps.Clone(state)})
		}
		if len(snaps) > 0 {
			x := snaps[r.IntN(len(snaps))]
			compare(t, r, x.s, x.when)
		}
	}
	for _, x := range snaps {
		try(t, x.s.Close())
	}
}

// changeAtRandom makes a change of k in the batch and in state. The batch is given a buffer that has another key next.
func changeAtRandom(t *testing.T, r *rand.Rand, b Batch, state map[string]string, k, v string) {
	t.Helper()
	_, there := state[k]
	buf := []byte(k)
	switch {
	case r.IntN(3) == 0:
		try(t, b.Delete(buf))
		delete(state, k)
	case there || r.IntN(2) == 0:
		try(t, b.Set(buf, []byte(v)))
		state[k] = v
	default:
		try(t, b.Insert(buf, []byte(v)))
		state[k] = v
	}
	copy(buf, "zzzz")
}

// endAtRandom commits the batch, after which next is the engine's state, or gives it up. It returns the state that is then.
func endAtRandom(t *testing.T, r *rand.Rand, e Engine, b Batch, state, next map[string]string) map[string]string {
	t.Helper()
	if r.IntN(5) == 0 {
		b.Discard()
	} else {
		try(t, b.Commit())
		state = next
	}
	if d, ok := e.(Durable); ok && r.IntN(8) == 0 {
		try(t, d.Flush())
	}
	compare(t, r, e, state)
	return state
}

func randomKey(r *rand.Rand) string {
	return fmt.Sprintf("%c%02d", 'a'+rune(r.IntN(3)), r.IntN(60))
}

// compare looks at a random range in a random direction.
func compare(t *testing.T, r *rand.Rand, got Reader, state map[string]string) {
	t.Helper()
	lo, hi := []byte(randomKey(r)), []byte(randomKey(r))
	switch r.IntN(6) {
	case 0:
		lo = nil
	case 1:
		hi = nil
	case 2:
		lo, hi = nil, nil
	}
	reverse := r.IntN(2) == 0
	var wanted []string
	for _, k := range slices.Sorted(maps.Keys(state)) {
		if k >= string(lo) && (hi == nil || k < string(hi)) {
			wanted = append(wanted, k+"="+state[k])
		}
	}
	if reverse {
		slices.Reverse(wanted)
	}
	if is := dump(t, got, lo, hi, reverse); !slices.Equal(is, wanted) {
		t.Fatalf("[%q,%q) reverse %v is %q, want %q", lo, hi, reverse, is, wanted)
	}
}

// testConcurrent: readers beside a writer see all of a batch or nothing of it, in every single read and snapshot.
func testConcurrent(t *testing.T, e Engine) {
	const keys, batches = 50, 200
	set := func(n uint64) {
		b := e.NewBatch()
		for i := range byte(keys) {
			if err := b.Set([]byte{i}, binary.BigEndian.AppendUint64(nil, n)); err != nil {
				t.Error(err)
			}
		}
		if err := b.Commit(); err != nil {
			t.Error(err)
		}
	}
	set(0)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			var last uint64
			for {
				select {
				case <-done:
					return
				default:
				}
				var r Reader = e
				if i%2 == 0 {
					s := e.Snapshot()
					defer s.Close()
					r = s
				}
				if last = uniform(t, r, last); t.Failed() {
					return
				}
			}
		})
	}
	for n := range uint64(batches) {
		set(n + 1)
	}
	close(done)
	wg.Wait()
}

// uniform wants one value, not below last, under all keys, and returns it.
func uniform(t *testing.T, r Reader, last uint64) uint64 {
	seen := map[uint64]int{}
	err := r.Scan(nil, nil, false, func(_, v []byte) bool {
		seen[binary.BigEndian.Uint64(v)]++
		return true
	})
	if err != nil || len(seen) != 1 {
		t.Errorf("a reader saw %v (%v), want all of one batch", seen, err)
		return last
	}
	for n := range seen {
		if n < last {
			t.Errorf("a reader saw %d after %d", n, last)
		}
		last = n
	}
	return last
}
