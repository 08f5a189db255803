package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// furnished is a machine of the newest level that has a row in every table.
func furnished(t testing.TB) *rig { return furnishedAt(t, NewestLevel) }

func furnishedAt(t testing.TB, level Level) *rig {
	r := furnishedBefore(t, level)
	one, two := ref("one", 1, "g.1"), ref("two", 2, "g.2")
	two.Anchor = "both"
	r.ok(Prepare{
		Term: r.term, Group: "g.1", Txn: one, If: []api.Cond{{Kind: api.CondAbsent, Key: "both"}}, Then: []api.Op{{Kind: api.OpAdd, Key: "n", Delta: 5}},
	})
	r.ok(Prepare{
		Term: r.term, Group: "g.1", Txn: two, AckedBelow: 2, If: []api.Cond{{Kind: api.CondAbsent, Key: "both"}}, Then: []api.Op{{Kind: api.OpDelete, Key: "d"}},
		Claim: &Claim{Body: [16]byte{9}},
	})
	r.ok(Decide{Txn: one, Outcome: ident.TxnCommitted, Participants: []api.GroupID{"g.1", "g.2"}, Held: true, Outcomes: []Outcome{{Value: []byte("5")}}})
	r.ok(Push{ref("three", 1, "g.1")})
	r.ok(Resolve{"g.1", ref("three", 1, "g.1").ID, ident.TxnAborted})
	if level >= Level5 {
		r.at(1<<30, putFor("timed", "v", time.Hour))
		r.ok(Prepare{Term: r.term, Group: "g.1", Txn: ref("four", 4, "g.2"), Then: []api.Op{putFor("later", "w", time.Minute)}, Now: 1 << 31})
		r.ok(Tick{r.term, 1<<31 + 1})
	}
	if level >= Level6 {
		txn := api.Txn{ID: api.RequestID{Client: api.ClientID{5}, Seq: 1}, Then: []api.Op{opAppend("grows", "<1>"), putFor("kept", "v", time.Hour), keeping(opPut("kept", "w"))}}
		r.ok(Write{Term: r.term, Txn: txn, Epoch: inGroup("g.1", 1)})
		r.ok(Prepare{Term: r.term, Group: "g.1", Txn: ref("five", 5, "g.2"), Then: []api.Op{keeping(opPut("kept", "x")), opFold(api.OpSum64, "sum", 1)}})
	}
	return r
}

// furnishedBefore has a row in every table that there was in version 2.
func furnishedBefore(t testing.TB, level Level) *rig {
	r := groupAt(t, level, "g.1", Shard{api.Range{}, 1, 0, 1})
	sid := r.open("edge-1")
	r.ok(TermStart{"n1"})
	txn := putTxn("a", "value")
	txn.ID = api.RequestID{Client: api.ClientID{1, 2, 3}, Seq: 2, AckedBelow: 1}
	r.ok(Write{Term: r.term, Txn: txn, Epoch: inGroup("g.1", 1)})
	for _, k := range []api.Key{"old", "\x00zero", "gone/1"} {
		txn = deleteTxn(k)
		txn.ID = api.RequestID{Client: api.ClientID{4}, Seq: uint64(k[0])}
		r.ok(Write{Term: r.term, Txn: txn})
	}
	r.ok(TrimTombstones{r.term, 1 << 40, 1})
	r.grant(sid, "a", "never")
	r.grant(r.open("edge-2"), "a")
	r.ok(Suspect{r.term, sid})
	r.ok(Cede{Term: r.term, Range: api.PrefixRange("gone/"), Epoch: 9, To: []api.GroupID{"g.2"}})
	r.ok(ExpireDedup{r.term, 2})
	return r
}

// TestSnapshotGolden pins the bytes of snapshots: what a machine has written, every later one must read.
func TestSnapshotGolden(t *testing.T) {
	snapshotGolden(t, furnishedAt(t, Level1), "testdata/snapshot.golden", 17)
	snapshotGolden(t, furnishedAt(t, Level2), "testdata/snapshot.v4.golden", 17)
	snapshotGolden(t, furnishedAt(t, Level4), "testdata/snapshot.v6.golden", 18)
	snapshotGolden(t, furnishedAt(t, Level5), "testdata/snapshot.v7.golden", 19)
	snapshotGolden(t, furnishedAt(t, Level6), "testdata/snapshot.v8.golden", 19)
}

// snapshotGolden compares the machine's snapshot, which has rows in so many tables, with the file.
func snapshotGolden(t *testing.T, r *rig, file string, want int) {
	t.Helper()
	tables := map[byte]bool{}
	err := r.m.engine.Scan(nil, nil, false, func(k, _ []byte) bool { tables[k[0]] = true; return true })
	if err != nil || len(tables) != want {
		t.Errorf("rows in %d of %d tables (%v)", len(tables), want, err)
	}
	golden(t, file, stream(t, r.m))
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := newMachine(t)
	if err := m.Restore(f); err != nil {
		t.Fatal(err)
	}
	same(t, m, r.m)
}

// TestSnapshotOfVersion1 restores what earlier versions wrote: it becomes what this version would have written.
func TestSnapshotOfVersion1(t *testing.T) { restoreOld(t, "testdata/snapshot.v1.golden", 0) }
func TestSnapshotOfVersion2(t *testing.T) {
	restoreOld(t, "testdata/snapshot.v2.golden", furnishedBefore(t, Level1).index)
}

func restoreOld(t *testing.T, file string, applied uint64) {
	t.Helper()
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, r := newMachine(t), furnishedBefore(t, Level1)
	if err := m.Restore(bytes.NewReader(old)); err != nil {
		t.Fatal(err)
	}
	if m.Meta().Applied != applied {
		t.Errorf("the old machine had applied the log up to %d, want %d", m.Meta().Applied, applied)
	}
	next := [][]byte{r.encode(Write{Term: r.term, Txn: putTxn("next", "v")})}
	index := r.next()
	m.Apply(index, r.term, next)
	r.m.Apply(index, r.term, next)
	same(t, m, r.m)
}

// same wants equal machines, in what they hold and in what they have at hand.
func same(t *testing.T, a, b *Machine) {
	t.Helper()
	ha, err1 := a.Hash()
	hb, err2 := b.Hash()
	if ha != hb || err1 != nil || err2 != nil {
		t.Errorf("the hashes are %x and %x (%v, %v)", ha, hb, err1, err2)
	}
	if !reflect.DeepEqual(a.Meta(), b.Meta()) || !reflect.DeepEqual(a.shards, b.shards) {
		t.Errorf("the machines are %+v %+v and %+v %+v", a.Meta(), a.shards, b.Meta(), b.shards)
	}
	if err := a.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// TestRestoreDamaged: whatever is wrong with a stream, there is an error and the machine stays what it was.
func TestRestoreDamaged(t *testing.T) {
	good := stream(t, furnished(t).m)
	to := founded(t)
	to.put("mine", "v")
	before := to.rows()
	refused := func(what string, from io.Reader) {
		t.Helper()
		if err := to.m.Restore(from); err == nil {
			t.Fatalf("%s was restored", what)
		}
		if !bytes.Equal(before, to.rows()) {
			t.Fatalf("%s changed the machine", what)
		}
	}
	for n := range good {
		refused("a stream cut off", bytes.NewReader(good[:n]))
	}
	r := rand.New(rand.NewPCG(1, 0))
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << r.IntN(8)
		refused(fmt.Sprintf("a stream with byte %d flipped", i), bytes.NewReader(bad))
	}
	refused("a stream of another format", bytes.NewReader(append([]byte("edgehold-fsm\x00\x05"), good[14:]...)))
	refused("a huge row", bytes.NewReader(append(good[:14:14], 1, 0xff, 0xff, 0xff, 0xff, 0x0f)))
	broken := errors.New("broken")
	refused("a stream that breaks", io.MultiReader(bytes.NewReader(good[:100]), iotest.ErrReader(broken)))
	if err := to.m.Restore(iotest.OneByteReader(bytes.NewReader(good))); err != nil {
		t.Fatal(err)
	}
}

// TestSnapshotStaysWhatItWas: Apply goes on beside a snapshot that is being written.
func TestSnapshotStaysWhatItWas(t *testing.T) {
	r := furnished(t)
	want := stream(t, r.m)
	s, err := r.m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 300 {
			r.m.Apply(r.next(), r.term, [][]byte{encode(Write{Term: r.term, Txn: putTxn(api.Key(fmt.Sprint("k/", i%50)), "v")})})
		}
	})
	for range 20 {
		var b bytes.Buffer
		if _, err := s.WriteTo(&b); err != nil || !bytes.Equal(b.Bytes(), want) {
			t.Fatalf("the snapshot has changed (%v)", err)
		}
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteTo(brokenWriter{}); err == nil {
		t.Error("a writer's error got lost")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

// TestReadsAreAtomic: a read beside Apply sees all of an entry or nothing of it.
func TestReadsAreAtomic(t *testing.T) {
	r := founded(t)
	sid := r.open("n")
	keys := []api.Key{"a", "b", "c"}
	write := func(i int) [][]byte {
		var cs [][]byte
		for _, k := range keys {
			cs = append(cs, encode(Write{Term: 1, Txn: putTxn(k, fmt.Sprint(i)), Killed: []ident.SessionID{sid}}))
		}
		return append(cs, encode(Grant{1, []GrantItem{{Session: sid, Keys: keys}}}))
	}
	r.m.Apply(1, 1, write(0))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				es, _, err := r.m.Read(keys)
				if err != nil || string(es[0].Value) != string(es[1].Value) || string(es[1].Value) != string(es[2].Value) {
					t.Errorf("read %v, %v", entriesText(es), err)
					return
				}
				if res, err := r.m.List(&api.ListRequest{}); err != nil || string(res.Entries[0].Value) != string(res.Entries[2].Value) {
					t.Errorf("list %v, %v", res, err)
					return
				}
				if n := len(r.m.Holders(keys)); n%3 != 0 {
					t.Errorf("%d holders", n)
				}
				r.m.Preview(&api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "a"}}}, ident.DedupEpoch{})
				r.m.Sessions()
				r.m.Session(sid)
				r.m.Meta()
				if _, err := r.m.Hash(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 300 {
		r.m.Apply(1, 1, write(i))
	}
	if err := r.m.Restore(bytes.NewReader(stream(t, r.m))); err != nil {
		t.Error(err)
	}
	close(done)
	wg.Wait()
}

func FuzzRestore(f *testing.F) {
	good := stream(f, furnished(f).m)
	f.Add(good, false)
	f.Add(good[:len(good)/2], false)
	f.Add(good, true)
	f.Add([]byte(snapshotMagic+"\x00\x00"), true)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if seal { // the right checksum under whatever stands before it
			b = sealed(b)
		}
		m := founded(t).m
		before := m.Meta()
		if err := m.Restore(bytes.NewReader(b)); err != nil {
			if !reflect.DeepEqual(m.Meta(), before) {
				t.Fatalf("a failed restore changed the machine: %v", err)
			}
			return
		}
		if again := stream(t, m); !bytes.Equal(again, b) && len(again) > len(b) {
			t.Fatalf("%d bytes became %d", len(b), len(again))
		}
		_ = m.CheckInvariants() // may well be broken; the check must report it, not hang or panic
	})
}

// TestBigState restores what does not fit into one piece of anything.
func TestBigState(t *testing.T) {
	r := founded(t)
	var cs [][]byte
	for i := range 20_000 {
		cs = append(cs, encode(Write{Term: 1, Txn: putTxn(api.Key(fmt.Sprintf("k/%06d", i)), "v")}))
	}
	r.m.Apply(1, 1, cs)
	r.put("big", string(make([]byte, api.MaxValueBytes)))
	m := newMachine(t)
	began := time.Now()
	if err := m.Restore(bytes.NewReader(stream(t, r.m))); err != nil {
		t.Fatal(err)
	}
	t.Logf("snapshot and restore of %d keys took %v", m.Meta().Keys, time.Since(began))
	same(t, m, r.m)
}
