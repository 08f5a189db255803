package fsm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
)

// onDisk is a machine over a simulated disk, and its engine.
func onDisk(t testing.TB, disk *engine.Disk) (*Machine, *engine.Pebble) {
	t.Helper()
	e, err := engine.OpenPebble(engine.Config{Dir: "state", Disk: disk, BufferBytes: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(e)
	if err != nil {
		t.Fatal(err)
	}
	return m, e
}

type logEntry struct {
	term     api.Term
	commands [][]byte
}

// TestCrashAnywhere loses power before changes of the disk all over a run of random commands, flushes, checkpoints and
// restores. Whatever is found, the log after its index leads to the state of a machine that never crashed.
func TestCrashAnywhere(t *testing.T) {
	const seed, rounds = 11, 250
	every := uint64(8)
	if testing.Short() {
		every = 80
	}
	p := &txnPair{pair: newPair(t, rand.New(rand.NewPCG(seed, 0)))}
	disk := engine.NewDisk()
	type crash struct {
		disk *engine.Disk
		at   uint64 // what a Flush had promised
	}
	var mu sync.Mutex
	var crashes []crash
	var changes, flushed uint64
	disk.Watch(func() {
		mu.Lock()
		defer mu.Unlock()
		if changes++; changes%every == 0 {
			crashes = append(crashes, crash{disk: disk.Crash(changes, int(changes/every%5)*25), at: flushed})
		}
	})
	var log []logEntry
	flushedUp := func() {
		mu.Lock()
		flushed = uint64(len(log))
		mu.Unlock()
	}
	m, e := onDisk(t, disk)
	apply := func(raw [][]byte) {
		log = append(log, logEntry{p.term, raw})
		m.Apply(uint64(len(log)), p.term, raw)
	}
	apply([][]byte{encode(Init{
		Group: "g.1", Incarnation: 7, Shards: []Shard{{Epoch: 1, Of: 1}}, MaxTerm: 60e9, MaxPause: 10e9,
	})})
	var copies []uint64 // index of each checkpoint
	for n := range rounds {
		var raw [][]byte
		for range 1 + p.rnd.IntN(6) {
			c := p.any()
			raw = append(raw, encode(c))
		}
		for _, r := range all(p.m.Apply(p.next(), p.term, raw)) { // gives the generator its sessions
			if !r.Session.IsZero() {
				p.sids = append(p.sids, r.Session)
			}
		}
		apply(raw)
		switch n % 25 {
		case 7:
			mustDo(t, m.Flush())
			flushedUp()
		case 13:
			mustDo(t, m.Checkpoint(fmt.Sprint("copy", len(copies))))
			copies = append(copies, m.Applied())
			flushedUp()
		case 19: // what a follower does that gets the newest snapshot and then the log behind it
			mustDo(t, m.Adopt(fmt.Sprint("copy", len(copies)-1)))
			if m.Applied() != copies[len(copies)-1] {
				t.Fatalf("adopted a checkpoint of %d and is at %d", copies[len(copies)-1], m.Applied())
			}
			replay(m, log)
		}
	}
	want := p.hash(m)
	mustDo(t, e.Close())
	disk.Watch(nil)
	never := newMachine(t)
	replay(never, log)
	if p.hash(never) != want {
		t.Fatal("Determinism: the machine on disk differs from the one in memory")
	}
	fresh := 0
	for i, c := range crashes {
		m, e := onDisk(t, c.disk)
		if m.Applied() < c.at {
			t.Fatalf("crash %d: applied %d, and %d had been flushed", i, m.Applied(), c.at)
		}
		if m.Applied() == 0 {
			fresh++
		}
		replay(m, log)
		if p.hash(m) != want {
			t.Fatalf("crash %d of %d: the state differs after the log was replayed", i, len(crashes))
		}
		mustDo(t, e.Close())
	}
	if fresh == len(crashes) {
		t.Error("no crash found anything")
	}
	t.Logf("%d changes of the disk, %d crashes", changes, len(crashes))
}

// replay applies what the machine has not applied yet.
func replay(m *Machine, log []logEntry) {
	for i := m.Applied(); i < uint64(len(log)); i++ {
		m.Apply(i+1, log[i].term, slices.Clone(log[i].commands))
	}
}

func mustDo(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestNotDurable: a machine in memory says that it is one.
func TestNotDurable(t *testing.T) {
	m := newMachine(t)
	for _, err := range []error{m.Flush(), m.Checkpoint("x"), m.Adopt("x")} {
		if !errors.Is(err, errNotDurable) {
			t.Errorf("a machine in memory gave %v", err)
		}
	}
}

// TestCloseUnderReaders checks that a read of a machine whose engine is gone returns an error that says so.
func TestCloseUnderReaders(t *testing.T) {
	m, e := onDisk(t, engine.NewDisk())
	m.Apply(1, 1, [][]byte{encode(benchInit), encode(Write{Term: 1, Txn: putTxn("k", "v")})})
	m.Close()
	mustDo(t, e.Close())
	if _, _, err := m.Read([]api.Key{"k"}); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("read: %v", err)
	}
	if _, err := m.List(&api.ListRequest{}); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("list: %v", err)
	}
	txn := putTxn("k", "w")
	if p := m.Preview(&txn, ident.DedupEpoch{}); api.CodeOf(p.Err) != api.CodeUnavailable {
		t.Errorf("preview: %+v", p)
	}
	if len(m.Holders([]api.Key{"k"})) > 0 || len(m.Sessions()) > 0 {
		t.Error("there is a holder")
	}
}

// TestAdoptNothing: what is no machine's checkpoint changes nothing.
func TestAdoptNothing(t *testing.T) {
	disk := engine.NewDisk()
	m, e := onDisk(t, disk)
	m.Apply(1, 1, [][]byte{encode(benchInit)})
	other, err := engine.OpenPebble(engine.Config{Dir: "other", Disk: disk})
	mustDo(t, err)
	b := other.NewBatch()
	mustDo(t, b.Set([]byte{tableMeta}, []byte("no such row")))
	mustDo(t, b.Commit())
	mustDo(t, other.Checkpoint("copy"))
	if err := m.Adopt("copy"); err == nil {
		t.Error("a row that cannot be was adopted")
	}
	if err := m.Adopt("nowhere"); err == nil {
		t.Error("nothing was adopted")
	}
	if meta := m.Meta(); meta.Applied != 1 || !meta.Initialized {
		t.Errorf("the machine is %+v", meta)
	}
	mustDo(t, m.CheckInvariants())
	mustDo(t, other.Close())
	mustDo(t, e.Close())
}
