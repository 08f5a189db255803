package fsm

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// samples holds every kind of command, with every part of it in use.
func samples() []Command {
	sid := ident.SessionID{Incarnation: 7, Index: 300}
	dropped := []ident.DroppedLease{{Session: sid, Key: "a", Lease: 12}, {Session: sid, Key: "\x00\xff", Lease: math.MaxUint64}}
	shards := []Shard{{api.Range{Start: "", End: "m"}, 1, 0, 1}, {api.Range{Start: "m"}, math.MaxUint64, 2, 3}}
	id := api.RequestID{Client: api.ClientID{1, 2, 15: 3}, Seq: 9, AckedBelow: 8}
	txn := api.Txn{
		ID: id,
		If: []api.Cond{
			{Kind: api.CondVersion, Key: "a", Version: api.Version{Epoch: 1, Index: 200}}, {Kind: api.CondExists, Key: "b"},
			{Kind: api.CondAbsent, Key: "c"}, {Kind: api.CondValue, Key: "d", Value: []byte("v")}, {Kind: api.CondValue, Key: "e"},
		},
		Then: []api.Op{{Kind: api.OpPut, Key: "a", Value: []byte("1")}, {Kind: api.OpGet, Key: "b"}, {Kind: api.OpDelete, Key: "c"}},
		Else: []api.Op{{Kind: api.OpPut, Key: "d"}},
	}
	receipt := Receipt{
		Range: api.Range{Start: "a", End: "b"}, Epoch: 4, To: []api.GroupID{"g.2", "g.3"}, DedupEpoch: 77,
		From:    []Source{{"g.1", 0, 2}, {"g.4", 1, 2}},
		Clients: []Client{{ID: id.Client, AckedBelow: 8, Epoch: 5, Age: 72}},
		Records: []Record{{
			Client: id.Client, Seq: 9, Anchor: "a", Body: [16]byte{9}, Epoch: 5, Age: 300, Committed: true, Version: api.Version{Epoch: 1, Index: 200},
			Outcomes: []Outcome{{Version: api.Version{Epoch: 1, Index: 200}, Exists: true}, {Version: api.Version{Epoch: 1, Index: 3}}},
		}},
	}
	ref := ident.TxnRef{ID: ident.TxnID{Client: id.Client, Seq: 9, Attempt: 2, Decider: "g.2"}, Age: 1 << 60, Anchor: "a", Epoch: 6}
	return []Command{
		Init{"us-east.1", 7, shards, time.Minute, 10 * time.Second},
		TermStart{"us-east-1"},
		Write{Term: 3, Txn: putTxn("key", "value")},
		Write{Term: 300, Txn: txn, Epoch: inGroup("g.1", 5), Cleared: dropped, Killed: []ident.SessionID{sid}},
		Write{Term: 3, Txn: api.Txn{Then: []api.Op{
			{Kind: api.OpAdd, Key: "n", Delta: math.MinInt64}, {Kind: api.OpAdd, Key: "n", Delta: 1}, {Kind: api.OpAppendIfAbsent, Key: "l", Value: []byte("<1>")},
		}}},
		Grant{3, []GrantItem{
			{Session: sid, Keys: []api.Key{"a", "b"}},
			{sid, ident.Nonce{4}, []api.Key{"c"}, []api.Version{{Epoch: 1, Index: 2}}},
		}},
		SessionOpen{"edge-1", ident.Nonce{1}, 4 * time.Second, 2 * time.Second},
		SessionClose{sid, ident.Nonce{1}},
		Suspect{3, sid},
		Unsuspect{3, sid},
		Kill{3, []ident.SessionID{sid, {}}},
		Release{dropped},
		Cede{3, api.Range{Start: "a", End: "b"}, 4, []api.GroupID{"g.2"}, dropped, []ident.SessionID{sid}},
		Adopt{receipt, Shard{api.Range{Start: "a", End: "b"}, 4, 1, 2}},
		TrimTombstones{3, 1 << 40, 1000},
		AdvanceDedupEpoch{3},
		ExpireDedup{3, 10_000},
		Prepare{
			Term: 3, Group: "g.1", Txn: ref, AckedBelow: 8, Epoch: 5, If: txn.If, Then: txn.Then,
			Claim: &Claim{[16]byte{7}, ident.TxnID{Client: id.Client, Seq: 9, Attempt: 1, Decider: "g.3"}}, Cleared: dropped, Killed: []ident.SessionID{sid},
		},
		Prepare{Term: 3, Group: "g.1", Txn: ident.TxnRef{ID: ref.ID, Anchor: "a"}, Claim: &Claim{Body: [16]byte{7}}},
		Decide{
			Txn: ref, AckedBelow: 8, Outcome: ident.TxnCommitted, Participants: []api.GroupID{"g.1", "g.2"}, Held: true,
			Outcomes: []Outcome{{Version: api.Version{Epoch: 1, Index: 2}, Exists: true, Value: []byte("-9223372036854775808")}, {}},
		},
		Decide{Txn: ref, Outcome: ident.TxnAborted},
		Push{ref},
		CommitLast{
			Term: 3, Txn: ref, AckedBelow: 8, If: txn.If, Then: txn.Then, Claim: &Claim{Body: [16]byte{7}}, Participants: []api.GroupID{"g.1"},
			Held: true, Outcomes: []Outcome{{}, {Exists: true}, {}, {}}, Places: []uint32{0, 2, 3}, Cleared: dropped, Killed: []ident.SessionID{sid},
		},
		Resolve{"g.1", ref.ID, ident.TxnCommitted},
		Resolve{"g.1", ref.ID, ident.TxnAborted},
		Resolved{ref.ID, "g.1"},
		Forget{id.Client, 8},
		Adopt{Receipt{
			Range: receipt.Range, Epoch: 4, To: receipt.To, From: receipt.From,
			Records: []Record{
				{Client: id.Client, Seq: 9, Anchor: "a", Body: [16]byte{9}, Epoch: 5, Attempt: 1 << 20, Decider: "g.3", DeciderEpoch: 6},
				{Client: id.Client, Seq: 10, Anchor: "a", Epoch: 5, Committed: true, Outcomes: []Outcome{{Exists: true, Value: []byte("7")}}},
			},
		}, Shard{receipt.Range, 4, 0, 1}},
		SetLevel{3, Level2},
		Reap{3, 500},
	}
}

// samplesOf holds the kinds of command that the level has, with every part of it in use.
func samplesOf(level Level) []Command {
	all := samples()
	if level >= Level4 {
		all = append(all, TrimHistory{3, 1 << 40, 1000}, HistoryMax{3, 256 << 20})
	}
	if level >= Level5 {
		all = append(all, timedSamples()...)
	}
	if level >= Level6 {
		all = append(all, functionSamples()...)
	}
	return all
}

// timedSamples are what level 5 has added.
func timedSamples() []Command {
	sid := ident.SessionID{Incarnation: 7, Index: 300}
	ref := ident.TxnRef{ID: ident.TxnID{Client: api.ClientID{1}, Seq: 9, Attempt: 2, Decider: "g.2"}, Age: 5}
	ops := []api.Op{
		{Kind: api.OpPut, Key: "a", Value: []byte("1"), TTL: api.MinTTL}, {Kind: api.OpAppendIfAbsent, Key: "l", Value: []byte("<1>"), TTL: api.MaxTTL},
		{Kind: api.OpTouch, Key: "a", TTL: time.Second}, {Kind: api.OpList, Key: "a/", Limit: 1000},
	}
	return []Command{
		Write{Term: 3, Txn: api.Txn{Then: ops, Else: ops[2:]}, Now: 1 << 40},
		Prepare{Term: 3, Group: "g.1", Txn: ref, Then: ops[:2], Now: 7},
		CommitLast{Term: 3, Txn: ref, Then: ops[:2], Now: maxTime},
		Tick{3, 1 << 40},
		Expire{
			Term: 3, Now: 1 << 40, Keys: []KeyVersion{{"a", api.Version{Epoch: 1, Index: 200}}, {"\x00", api.Version{Epoch: 1, Index: 2}}},
			Cleared: []ident.DroppedLease{{Session: sid, Key: "a", Lease: 12}}, Killed: []ident.SessionID{sid},
		},
	}
}

// functionSamples are what level 6 has added.
func functionSamples() []Command {
	ref := ident.TxnRef{ID: ident.TxnID{Client: api.ClientID{1}, Seq: 9, Attempt: 2, Decider: "g.2"}, Age: 5}
	ops := []api.Op{
		{Kind: api.OpPut, Key: "a", Value: []byte("1"), KeepTTL: true}, {Kind: api.OpAppend, Key: "l", Value: []byte("<1>"), TTL: api.MaxTTL},
		{Kind: api.OpAppend, Key: "l", Value: []byte("<2>"), KeepTTL: true}, {Kind: api.OpSum64, Key: "n", Value: []byte("12345678"), KeepTTL: true},
		{Kind: api.OpMin64, Key: "n", Value: []byte("\x00\x01\x02\x03\x04\x05\x06\xff"), TTL: api.MinTTL}, {Kind: api.OpMax64, Key: "n", Value: make([]byte, 8)},
	}
	return []Command{
		Write{Term: 3, Txn: api.Txn{Then: ops, Else: ops[2:]}, Now: 1 << 40},
		Prepare{Term: 3, Group: "g.1", Txn: ref, Then: ops, Now: 7},
		CommitLast{Term: 3, Txn: ref, Then: ops[1:4], Now: maxTime},
	}
}

// since is the first level that can say the command.
func since(c Command) Level {
	if slices.ContainsFunc(timedSamples(), func(x Command) bool { return reflect.DeepEqual(x, c) }) {
		return Level5
	}
	if slices.ContainsFunc(functionSamples(), func(x Command) bool { return reflect.DeepEqual(x, c) }) {
		return Level6
	}
	return table[c.kind()].since
}

// asOf is the command as one of that version can say it.
func asOf(level Level, c Command) Command {
	if level > Level1 {
		return c
	}
	switch c := c.(type) {
	case Write:
		c.Epoch = ident.DedupEpoch{Count: c.Epoch.Count}
		return c
	case Adopt:
		c.Receipt.Clients, c.Receipt.Records = slices.Clone(c.Receipt.Clients), slices.Clone(c.Receipt.Records)
		for i := range c.Receipt.Clients {
			c.Receipt.Clients[i].Age = 0
		}
		for i := range c.Receipt.Records {
			c.Receipt.Records[i].Age = 0
		}
		return c
	}
	return c
}

func TestCodecRoundTrip(t *testing.T) {
	kinds := map[kind]bool{}
	for _, c := range samplesOf(NewestLevel) {
		kinds[c.kind()] = true
		for level := since(c); level <= NewestLevel; level++ {
			got, version, err := Decode(Encode(c, level))
			if err != nil || version != level {
				t.Fatalf("%T: version %d, %v", c, version, err)
			}
			if want := asOf(level, c); !reflect.DeepEqual(got, want) {
				t.Errorf("%T came back as %+v, want %+v", c, got, want)
			}
		}
	}
	if len(kinds) != len(table)-1 {
		t.Errorf("samples of %d kinds of command, want all %d", len(kinds), len(table)-1)
	}
}

// TestTable: the kinds are numbered without a gap, and each has a name of its own and a first level.
func TestTable(t *testing.T) {
	names := map[string]bool{}
	for _, c := range samplesOf(NewestLevel) {
		names[Name(c)] = true
	}
	for k := 1; k < len(table); k++ {
		x := &table[k]
		if !kind(k).known() || !names[x.name] || x.since < Level1 || x.since > NewestLevel {
			t.Errorf("the row of kind %d is %+v", k, x)
		}
		delete(names, x.name)
	}
}

// TestFirstLevel: a command of a version that does not have its kind yet is malformed.
func TestFirstLevel(t *testing.T) {
	b, r := Encode(Reap{1, 1}, Level1), founded(t)
	before := table[kindReap].since
	defer func() { table[kindReap].since = before }()
	table[kindReap].since = Level2
	_, _, err := Decode(b)
	if res := one(r.m.Apply(r.next(), 1, [][]byte{b})); api.CodeOf(err) != api.CodeInvalid || !reflect.DeepEqual(res.Err, err) {
		t.Errorf("Decode says %v, Apply %v", err, res.Err)
	}
	if _, _, err := Decode(Encode(Reap{1, 1}, Level2)); err != nil {
		t.Error(err)
	}
}

// TestCodecStrict: there is one encoding of each command, and nothing that is cut off or goes on is one.
func TestCodecStrict(t *testing.T) {
	refused := func(what string, b []byte) {
		t.Helper()
		if c, _, err := Decode(b); api.CodeOf(err) != api.CodeInvalid || c != nil {
			t.Errorf("%s: %x gave %+v, %v", what, b, c, err)
		}
	}
	for _, c := range samplesOf(NewestLevel) {
		b := encode(c)
		for n := range b {
			refused("cut off", b[:n])
		}
		refused("goes on", append(bytes.Clone(b), 0))
		for i := range b {
			for _, x := range []byte{0, 1, 0x7f, 0x80, 0xff} {
				m := bytes.Clone(b)
				m[i] = x
				if got, version, err := Decode(m); err == nil && !bytes.Equal(Encode(got, version), m) {
					t.Errorf("%x is taken for %x", m, Encode(got, version))
				}
			}
		}
	}
	refused("unknown version", []byte{byte(NewestLevel) + 1, byte(kindTermStart), 0})
	refused("unknown kind", []byte{1, 0})
	refused("unknown kind", []byte{1, 200})
	refused("a number not in its shortest form", []byte{1, byte(kindAdvanceDedupEpoch), 0x80, 0})
	refused("a number over 64 bits", append([]byte{1, byte(kindAdvanceDedupEpoch)}, bytes.Repeat([]byte{0xff}, 10)...))
	refused("a list that cannot be there", []byte{1, byte(kindKill), 1, 0xff, 0xff, 3, 1, 1})
	refused("a name over its limit", encode(TermStart{api.NodeID(strings.Repeat("n", 256))}))
	refused("a key over its limit", encode(Write{Txn: putTxn(api.Key(strings.Repeat("k", api.MaxKeyBytes+1)), "")}))
	refused("a value over its limit", encode(Write{Txn: putTxn("k", strings.Repeat("v", api.MaxValueBytes+1))}))
	refused("too many operations", encode(Write{Txn: api.Txn{Then: make([]api.Op, api.MaxTxnOps+1)}}))
	ref := ident.TxnRef{ID: ident.TxnID{Client: api.ClientID{1}, Attempt: 1, Decider: "g"}}
	refused("an outcome that is none", encode(Resolve{"g", ref.ID, ident.TxnUndecided}))
	refused("an outcome that is none", encode(Decide{Txn: ref, Outcome: 3}))
	refused("half of an attempt", encode(Prepare{Txn: ref, Claim: &Claim{After: ident.TxnID{Attempt: 1}}}))
	refused("half of an attempt", encode(Prepare{Txn: ref, Claim: &Claim{After: ident.TxnID{Decider: "g"}}}))
	refused("a value over its limit", encode(Decide{Txn: ref, Outcome: ident.TxnCommitted, Outcomes: []Outcome{{Value: make([]byte, MaxRecordBytes+1)}}}))
	refused("values over their limit", encode(Decide{Txn: ref, Outcome: ident.TxnCommitted, Outcomes: []Outcome{{Value: make([]byte, MaxRecordBytes)}, {Value: []byte("1")}}}))
	long := encode(Decide{Txn: ref, Outcome: ident.TxnCommitted, Outcomes: []Outcome{{Value: make([]byte, maxSum+1)}}})
	if _, _, err := Decode(long); err != nil {
		t.Error(err)
	}
	long[0] = byte(Level1)
	refused("a sum over the limit of version 1", long)
	empty := encode(Decide{Txn: ref, Outcome: ident.TxnCommitted, Outcomes: []Outcome{{Exists: true, Empty: true}}})
	if _, _, err := Decode(empty); err != nil {
		t.Error(err)
	}
	empty[0] = byte(Level1)
	refused("an empty value in version 1", empty)
	refused("an unknown operation", encode(Write{Txn: api.Txn{Then: []api.Op{{Key: "k"}}}}))
	refused("an empty key", encode(Grant{Items: []GrantItem{{Keys: []api.Key{""}}}}))
	refused("known versions that do not fit", encode(Grant{Items: []GrantItem{{Keys: []api.Key{"a", "b"}, Known: make([]api.Version, 1)}}}))
}

// TestApplyRefusesAsDecode: a machine refuses what Decode does, in the same words, and goes on with the next command of the
// entry as if nothing had been there.
func TestApplyRefusesAsDecode(t *testing.T) {
	r := founded(t)
	put := encode(Write{Term: 1, Txn: putTxn("k", "v")})
	refused := func(b []byte) {
		t.Helper()
		_, _, err := Decode(b)
		if err == nil || newer(b) {
			return
		}
		res := all(r.m.Apply(r.next(), 1, [][]byte{b, put}))
		if want := (Result{Index: res[1].Index - 1, Err: api.AsError(err)}); !reflect.DeepEqual(res[0], want) {
			t.Errorf("%x gave %+v, want %+v", b, res[0], want)
		}
		if res[1].Err != nil || res[1].Txn.Entries[0].Key != "k" {
			t.Errorf("a put behind %x gave %+v", b, res[1])
		}
	}
	refused(nil)
	for _, c := range samplesOf(NewestLevel) {
		b := encode(c)
		for n := range b {
			refused(b[:n])
			for _, x := range []byte{0, 3, 0xff} {
				m := bytes.Clone(b)
				m[n] = x
				refused(m)
			}
		}
		refused(append(bytes.Clone(b), 0))
	}
	if w := r.m.tx.room.write; !reflect.DeepEqual(w, Write{}) {
		t.Errorf("between entries %+v is kept", w)
	}
}

// TestCodecGolden pins the bytes of the log: what a machine has written, every later one must read.
func TestCodecGolden(t *testing.T) {
	codecGolden(t, "testdata/commands.golden", kept, Level1, Level2)
	codecGolden(t, "testdata/commands.v4.golden", golden, Level4)
	codecGolden(t, "testdata/commands.v5.golden", kept, Level5)
	codecGolden(t, "testdata/commands.v6.golden", golden, Level6)
}

func codecGolden(t *testing.T, file string, compare func(*testing.T, string, []byte), levels ...Level) {
	t.Helper()
	var out bytes.Buffer
	for _, level := range levels {
		for _, c := range samplesOf(level) {
			fmt.Fprintf(&out, "%T %x\n", c, Encode(c, level))
		}
	}
	compare(t, file, out.Bytes())
	for line := range strings.Lines(out.String()) {
		b, err := hex.DecodeString(strings.Fields(line)[1])
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Decode(b); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestEncodeMakesRoom: the frequent commands take one piece of memory, however large.
func TestEncodeMakesRoom(t *testing.T) {
	for _, size := range []int{0, 100, api.MaxValueBytes} {
		var c Command = Write{Term: 1 << 40, Txn: putTxn("some/key", strings.Repeat("v", size))}
		if n := testing.AllocsPerRun(20, func() { encode(c) }); n > 2 {
			t.Errorf("encoding a put of %d bytes takes %v allocations", size, n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range samplesOf(NewestLevel) {
		f.Add(encode(c))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, version, err := Decode(b)
		if err != nil {
			if api.CodeOf(err) != api.CodeInvalid {
				t.Fatal(err)
			}
			return
		}
		if again := Encode(c, version); !bytes.Equal(again, b) {
			t.Fatalf("%x is taken for %x", b, again)
		}
		// Whatever can be decoded can be applied, to a machine that is founded and one that is not.
		for _, m := range []*Machine{newMachine(t), founded(t).m} {
			if _, err := m.Apply(1, 1, [][]byte{b, b}); (err != nil) != newer(b) {
				t.Fatalf("%+v: %v", c, err)
			}
			if err := m.CheckInvariants(); err != nil {
				t.Fatalf("after %+v: %v", c, err)
			}
		}
	})
}
