package replica

import (
	"encoding/gob"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica/checkpoint"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

func bubble(t *testing.T, test func(t *testing.T)) { synctest.Test(t, test) }

// durableRegister is a register whose state survives a crash as of its last Flush, or as of any Apply since.
type durableRegister struct {
	register
	indexes []uint64 // of the entries, by command
	kept    int      // commands on disk
	adopts  int
}

// Apply adds command and index atomically: a concurrent Checkpoint has both or neither.
func (m *durableRegister) Apply(index, term uint64, commands [][]byte) ([]result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.indexes); n > 0 && index <= m.indexes[n-1] {
		panic(fmt.Sprintf("entry %d is applied after %d", index, m.indexes[n-1]))
	}
	if m.refuses(commands) {
		return nil, errUnknown
	}
	for range commands {
		m.indexes = append(m.indexes, index)
	}
	return m.add(term, commands), nil
}

func (m *durableRegister) Applied() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.indexes) == 0 {
		return 0
	}
	return m.indexes[len(m.indexes)-1]
}

func (m *durableRegister) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = len(m.indexes)
	return nil
}

type registerFile struct {
	Applied []string
	Terms   []uint64
	Indexes []uint64
}

func (m *durableRegister) Checkpoint(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = len(m.indexes)
	if err := os.Mkdir(dir, 0o750); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "register"))
	if err != nil {
		return err
	}
	defer f.Close()
	return gob.NewEncoder(f).Encode(registerFile{m.applied, m.terms, m.indexes})
}

func (m *durableRegister) Adopt(dir string) error {
	f, err := os.Open(filepath.Join(dir, "register"))
	if err != nil {
		return err
	}
	defer f.Close()
	var s registerFile
	if err := gob.NewDecoder(f).Decode(&s); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.applied, m.terms, m.indexes, m.kept = s.Applied, s.Terms, s.Indexes, len(s.Indexes)
	m.adopts++
	return nil
}

// adopted returns the number of adopted checkpoints.
func (m *durableRegister) adopted() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.adopts
}

// Restore is for snapshot stores that stream the register.
func (m *durableRegister) Restore(r io.Reader) error {
	if err := m.register.Restore(r); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.indexes = slices.Repeat([]uint64{0}, len(m.applied))
	m.kept = len(m.applied)
	return nil
}

// crashed returns what a loss of power leaves: all entries that were flushed, and some of those that followed, in order.
func (m *durableRegister) crashed(r *rand.Rand) *durableRegister {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.kept + r.IntN(len(m.indexes)-m.kept+1)
	for n > 0 && n < len(m.indexes) && m.indexes[n] == m.indexes[n-1] {
		n++ // entries are whole
	}
	c := new(durableRegister)
	c.applied, c.terms, c.indexes, c.kept = slices.Clone(m.applied[:n]), slices.Clone(m.terms[:n]), slices.Clone(m.indexes[:n]), n
	return c
}

// TestDurableMachineCrashes loses power again and again: the machine starts with what it had on disk, the rest is applied from
// the log, and no entry is applied twice (the register panics if one is).
func TestDurableMachineCrashes(t *testing.T) {
	for seed := range uint64(8) {
		bubble(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			dir := t.TempDir()
			disk := logstore.NewMemory(time.Millisecond)
			machine := new(durableRegister)
			net := newNetwork(time.Millisecond)
			var want []string
			for round := range 6 {
				before := machine.Applied()
				rep := openDurable(t, net, disk, machine, Limits{TrailingEntries: 2}, dir)
				if rep.Applied() < before {
					t.Fatalf("seed %d: a machine at %d is said to be at %d", seed, before, rep.Applied())
				}
				g := &group{t: t, nodes: map[string]*node{"n0": {name: "n0", rep: rep, machine: &machine.register}}}
				l := g.leader()
				for i := range 1 + r.IntN(12) {
					c := fmt.Sprintf("%d.%d", round, i)
					g.must(l, c)
					want = append(want, c)
					if r.IntN(6) == 0 {
						if err := rep.Snapshot(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				}
				if got := machine.all(); !slices.Equal(got, want) {
					t.Fatalf("seed %d, round %d: the machine has %v, want %v", seed, round, got, want)
				}
				copied, left := disk.Clone(), machine.crashed(r)
				if err := rep.Close(); err != nil {
					t.Fatal(err)
				}
				disk, machine = copied, left
			}
		})
	}
}

// openDurable opens the one voter n0, whose log is on a simulated disk and whose checkpoints are in a folder.
func openDurable(t *testing.T, net *network, disk *logstore.Memory, m *durableRegister, l Limits, dir string) *Replica[result] {
	t.Helper()
	rep, err := Open[result](Config{
		Group: "g", Node: "n0", Streams: net.endpoint("n0"), Members: []Member{{Node: "n0", Address: "n0", Voter: true}},
		Stores: func() (logstore.Stores, error) {
			s, err := disk.Stores()
			if err == nil {
				s.Snapshots, err = checkpoint.Open(dir, 1<<40)
			}
			return s, err
		},
		State: m, Limits: l,
		OnLeadership: func(term uint64) []byte { return fmt.Appendf(nil, "lead n0 %d", term) },
	}, m)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// TestDurableStreams: with a snapshot store that streams, a durable machine is flushed before the log is truncated, and is not
// restored at a start.
func TestDurableStreams(t *testing.T) {
	bubble(t, func(t *testing.T) {
		disk, machine, net := logstore.NewMemory(time.Millisecond), new(durableRegister), newNetwork(time.Millisecond)
		open := func() (*Replica[result], *group) {
			rep, err := Open[result](Config{
				Group: "g", Node: "n0", Streams: net.endpoint("n0"), Members: []Member{{Node: "n0", Address: "n0", Voter: true}},
				Stores: disk.Stores, State: machine, Limits: Limits{TrailingEntries: 1},
				OnLeadership: func(term uint64) []byte { return fmt.Appendf(nil, "lead n0 %d", term) },
			}, machine)
			if err != nil {
				t.Fatal(err)
			}
			return rep, &group{t: t, nodes: map[string]*node{"n0": {name: "n0", rep: rep, machine: &machine.register}}}
		}
		rep, g := open()
		for i := range 9 {
			g.must(g.leader(), fmt.Sprint(i))
		}
		if err := rep.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		if machine.kept != len(machine.indexes) {
			t.Errorf("%d of %d commands are on disk, and the log is truncated", machine.kept, len(machine.indexes))
		}
		g.must(g.leader(), "last")
		if err := rep.Close(); err != nil {
			t.Fatal(err)
		}
		machine.restore = 0
		rep, g = open()
		if machine.restore > 0 || rep.Applied() != machine.Applied() {
			t.Errorf("restored %d times, at %d of %d", machine.restore, rep.Applied(), machine.Applied())
		}
		if members, _ := rep.Members(); len(members) != 1 {
			t.Errorf("the members are %v", members)
		}
		g.must(g.leader(), "again")
		if err := rep.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestResume: what a start does with the state, the log and the snapshot that it finds.
func TestResume(t *testing.T) {
	for _, c := range []struct {
		name                 string
		applied, last, index uint64 // of the machine, the log from 1 on, the snapshot
		ready, fails, holed  bool
	}{
		{"nothing", 0, 0, 0, false, false, false},
		{"only a log", 0, 5, 0, false, false, false},
		{"a state within its log", 4, 5, 0, false, false, false},
		{"a state beyond the snapshot", 12, 15, 10, true, false, false},
		{"a state at the snapshot", 10, 0, 10, true, false, false},
		{"a state before the snapshot", 9, 15, 10, false, false, false},
		{"a snapshot without a state", 0, 0, 10, false, false, false},
		{"a state beyond its log", 6, 5, 0, false, true, false},
		{"a state without a log", 6, 0, 0, false, true, false},
		{"a state beyond log and snapshot", 16, 15, 10, false, true, false},
		{"a log without what was before it", 0, 5, 0, false, true, true},
		{"a log behind its snapshot", 12, 15, 10, true, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			stores, err := logstore.NewMemory(0).Stores()
			if err != nil {
				t.Fatal(err)
			}
			if c.last > 0 {
				first := uint64(1)
				if c.holed {
					first = c.last
				}
				for i := first; i <= c.last && err == nil; i++ {
					err = stores.Log.StoreLog(&raft.Log{Index: i, Term: 1})
				}
			}
			if c.index > 0 && err == nil {
				var sink raft.SnapshotSink
				conf := raft.Configuration{Servers: []raft.Server{{ID: "n0"}}}
				if sink, err = stores.Snapshots.Create(1, c.index, 1, conf, 3, nil); err == nil {
					err = sink.Close()
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			d := driver[result]{state: &durableRegister{indexes: []uint64{c.applied}}, snapshots: stores.Snapshots}
			ready, err := d.resume(stores.Log)
			if ready != c.ready || (err != nil) != c.fails {
				t.Fatalf("ready %v, %v", ready, err)
			}
			if c.fails {
				wantCode(t, err, api.CodeInternal)
			} else if d.applied.Load() != max(c.applied, map[bool]uint64{true: 3}[c.ready]) {
				t.Errorf("the driver is at %d", d.applied.Load())
			}
			if conf, index := d.configuration(); c.ready && (index != 3 || len(conf.Servers) != 1) {
				t.Errorf("the members are %v of %d", conf, index)
			}
		})
	}
}

// TestHeldEntries: entries that the machine includes are skipped, and a snapshot of them is not restored.
func TestHeldEntries(t *testing.T) {
	m := new(durableRegister)
	stores, err := logstore.NewMemory(0).Stores()
	if err != nil {
		t.Fatal(err)
	}
	d := &driver[result]{machine: m, state: m, snapshots: stores.Snapshots, commands: func(float64, ...string) {}}
	for _, index := range []uint64{5, 6} {
		d.Apply(&raft.Log{Index: index, Term: 1, Data: encodeEntry([][]byte{fmt.Append(nil, index)})})
	}
	for _, index := range []uint64{5, 6} {
		e := d.Apply(&raft.Log{Index: index, Term: 1, Data: encodeEntry([][]byte{[]byte("again")})}).(*appliedEntry[result])
		if len(e.results) != 0 {
			t.Errorf("entry %d was applied again", index)
		}
	}
	if err := d.restore(6, nil); err != nil || len(m.all()) != 2 {
		t.Errorf("restored: %v, %v", err, m.all())
	}
}
