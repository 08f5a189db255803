package fsm

import (
	"io"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
)

// checkWindows requires that the cache agrees with the tables.
func checkWindows(t *testing.T, m *Machine) {
	t.Helper()
	heart := m.tx.room.windows
	size := 0
	for id, w := range heart.clients {
		v := m.begin()
		v.windows = &windows{}
		fresh := v.window(id)
		if w.row != fresh.row || !maps.Equal(w.anchors, fresh.anchors) || w.newest < fresh.newest {
			t.Fatalf("of client %v %+v is known, %+v is there", id, w, fresh)
		}
		if k, ok := m.known[id]; ok && (k.row != fresh.row || k.newest < fresh.newest) {
			t.Fatalf("of client %v readers know %+v, %+v is there", id, k, fresh)
		}
		size += len(w.anchors)
	}
	if size != heart.size {
		t.Fatalf("%d records are counted, %d are there", heart.size, size)
	}
}

// TestWindows: through writes, repetitions, acknowledgements in any order, expiry and a restore.
func TestWindows(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m, err := Open(engine.NewMemory())
	if err != nil {
		t.Fatal(err)
	}
	m.Apply(1, 1, [][]byte{encode(benchInit)})
	for i := range 400 {
		var commands [][]byte
		for range 1 + r.IntN(5) {
			id := api.RequestID{Client: api.ClientID{1 + byte(r.IntN(6))}, Seq: uint64(r.IntN(60))}
			id.AckedBelow = uint64(r.IntN(int(id.Seq) + 1))
			commands = append(commands, benchPut(r.IntN(5), id))
		}
		switch r.IntN(12) {
		case 0:
			commands = append(commands, encode(ExpireDedup{Term: 1, Limit: 1 + r.IntN(20)}))
		case 1:
			for range 1 + r.IntN(20) {
				commands = append(commands, encode(AdvanceDedupEpoch{Term: 1}))
			}
		case 2:
			commands = append(commands, encode(Forget{Client: api.ClientID{1 + byte(r.IntN(6))}, Below: uint64(r.IntN(60))}))
		case 5:
			commands = append(commands, encode(Write{Term: 1, Txn: api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: benchKey(r.IntN(5))}}}}))
		case 3:
			m.tx.room.windows.clear()
		case 4:
			restored, err := Open(engine.NewMemory())
			if err != nil {
				t.Fatal(err)
			}
			copyState(t, m, m) // onto itself: what was known is of another state
			copyState(t, m, restored)
			m = restored
		}
		m.Apply(uint64(i+2), 1, commands)
		checkWindows(t, m)
		if err := m.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	}
}

// copyState restores to's state from a snapshot of from.
func copyState(t *testing.T, from, to *Machine) {
	t.Helper()
	s, err := from.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	read, write := io.Pipe()
	go func() {
		_, err := s.WriteTo(write)
		_ = write.CloseWithError(err)
	}()
	if err := to.Restore(read); err != nil {
		t.Fatal(err)
	}
}
