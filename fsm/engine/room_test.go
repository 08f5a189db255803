package engine

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
)

// testBatchAfterBatch: batches of all sizes have the same memory one after the other, with much that comes and goes within
// one, and some are given up. Neither the engine, nor a batch, nor a snapshot shows anything of another batch.
func testBatchAfterBatch(t *testing.T, e Engine) {
	const seed, rounds = 7, 60
	r := rand.New(rand.NewPCG(seed, 0))
	state := map[string]string{}
	old, when := e.Snapshot(), map[string]string{}
	for round := range rounds {
		b := e.NewBatch()
		next := maps.Clone(state)
		for step := range 1 + r.IntN([]int{4, 40, 300, 4000}[r.IntN(4)]) {
			changeAtRandom(t, r, b, next, randomKey(r)+strings.Repeat("-more-", r.IntN(12)), fmt.Sprint(round, step))
			if r.IntN(200) == 0 {
				compare(t, r, b, next)
			}
		}
		if r.IntN(10) == 0 {
			comeAndGo(t, b, next, 5000)
		}
		compare(t, r, b, next)
		state = endAtRandom(t, r, e, b, state, next)
		compare(t, r, old, when)
		if r.IntN(10) == 0 {
			try(t, old.Close())
			old, when = e.Snapshot(), state
		}
	}
	try(t, old.Close())
}

// comeAndGo inserts and deletes one key again and again, now and then in sight of a scan.
func comeAndGo(t *testing.T, b Batch, state map[string]string, times int) {
	t.Helper()
	k := []byte("b/" + strings.Repeat("comes and goes ", 4))
	for n := range times {
		try(t, b.Insert(k, k))
		if n%1000 == 0 {
			if got := dump(t, b, k, append(k, 0), false); len(got) != 1 {
				t.Fatalf("%q are there", got)
			}
		}
		try(t, b.Delete(k))
	}
	wantNone(t, b, string(k))
}

// TestRoomIsLetGo: between batches no values are kept, and little memory, whatever the last one was.
func TestRoomIsLetGo(t *testing.T) {
	cs := newBatchChanges()
	batch := func(keys, times, length int) {
		b := &overlay{below: NewMemory(), changes: cs, commit: func(*changes) error { return nil }}
		for n := range times {
			k := fmt.Appendf(nil, "%0*d", length, n%keys)
			try(t, b.Insert(k, bytes.Repeat(k, 2)))
			if n%3 == 0 {
				try(t, b.Delete(k))
			}
		}
		dump(t, b, nil, nil, false)
		b.Discard()
		if len(cs.rows) != 0 || cs.bytes != 0 || cs.ordered.Len() != 0 || len(cs.unordered) != 0 || len(cs.room.all) != 0 {
			t.Errorf("after %d times %d keys of %d bytes there are changes: %+v", times, keys, length, cs.rows)
		}
		for _, c := range cs.room.all[:cap(cs.room.all)] {
			if c.value != nil {
				t.Fatalf("after %d times %d keys of %d bytes the value %q is kept", times, keys, length, c.value)
			}
		}
		if cap(cs.room.all) > 4096 || cap(cs.room.keys) > 256<<10 || cap(cs.unordered) > 8192 {
			t.Errorf("after %d times %d keys of %d bytes there is room for %d changes, %d bytes and %d keys in no order",
				times, keys, length, cap(cs.room.all), cap(cs.room.keys), cap(cs.unordered))
		}
	}
	for range 2 {
		batch(10, 20, 8)
		batch(900, 900, 8)    // all is kept
		batch(5000, 5000, 8)  // too many keys
		batch(10, 50_000, 8)  // too many changes
		batch(500, 500, 1000) // too long ones
	}
	batch(10, 10, 8)
	if cap(cs.room.all) == 0 || cap(cs.room.keys) == 0 {
		t.Error("a small batch leaves no room for the next")
	}
}

// TestRoomOfAGreatBatch: all pieces together have at most three times what is in them, once that is not little.
func TestRoomOfAGreatBatch(t *testing.T) {
	var r room
	key := strings.Repeat("k", 60)
	pieces, last := 0, 0
	for n := 1; n <= 100_000; n++ {
		if r.key(key); cap(r.keys) != last {
			last = cap(r.keys)
			pieces += last
		}
		if n > 100 && pieces > 3*n*len(key) {
			t.Fatalf("%d bytes of keys take %d", n*len(key), pieces)
		}
	}
}
