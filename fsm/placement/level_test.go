package placement

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// oldMachine is a cluster founded before there were levels, with three servers and an edge.
func oldMachine(t *testing.T) *Machine {
	t.Helper()
	first, err := static(Level0, "c", []Node{server("a1", "a")}, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	m := New()
	for _, c := range []Command{Init{Map: first}, Join{server("a2", "a")}, Join{server("odd name", "a")}, Join{edge("e", "a")}} {
		if r := apply(t, m, c); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return m
}

// TestSetLevel: an old map, also one with names that no new node could have, rises and gives each node a number; what needs the level
// is refused before, and a repeated SetLevel changes nothing.
func TestSetLevel(t *testing.T) {
	m := oldMachine(t)
	for _, c := range []Command{Retire{Node: "a2"}, SetState{Node: "a1", State: Draining}, Set{SettingDeadAfter, "1m"}, Touch{Node: "a1"}, Join{Node{ID: "x", Region: "a", Role: api.RoleEdge, Host: "h"}}} {
		if r := apply(t, m, c); api.CodeOf(r.Err) != api.CodeConflict {
			t.Errorf("%T before its level: %v", c, r.Err)
		}
	}
	if r := apply(t, m, SetLevel{2}); api.CodeOf(r.Err) != api.CodeInvalid {
		t.Errorf("a level that the map does not have: %v", r.Err)
	}
	before := m.Map()
	raised := apply(t, m, SetLevel{LevelIdentity})
	if raised.Err != nil || raised.Map.Level != LevelIdentity || raised.Map.NextNum != 5 || raised.Map.Check() != nil {
		t.Fatalf("raised to %+v, %v", raised.Map, raised.Err)
	}
	for i, n := range raised.Map.Nodes {
		if n.Num != uint32(i+1) || before.Nodes[i].Num != 0 {
			t.Errorf("node %s has number %d", n.ID, n.Num)
		}
	}
	for _, l := range []Level{LevelIdentity, Level0} {
		if r := apply(t, m, SetLevel{l}); r.Err != nil || r.Map != raised.Map {
			t.Errorf("level %d again gave %+v", l, r)
		}
	}
	if r := apply(t, m, Join{server("odd name 2", "a")}); api.CodeOf(r.Err) != api.CodeInvalid {
		t.Errorf("an odd name of a new node: %v", r.Err)
	}
	odd := server("odd name", "a")
	odd.Address = "elsewhere:1"
	if r := apply(t, m, Join{odd}); r.Err != nil || r.Map.Nodes[2].Num != 3 || r.Map.Nodes[2].Address != "elsewhere:1" {
		t.Errorf("an old node at a new address: %+v", r)
	}
	if r := apply(t, m, Join{edge("e2", "a")}); r.Err != nil || r.Map.Nodes[4].Num != 5 {
		t.Errorf("a new node: %+v", r)
	}
}

// TestOldBytes: what is at level 0 keeps the first version of its format, and what is above it cannot be taken for that.
func TestOldBytes(t *testing.T) {
	m := oldMachine(t)
	old := EncodeMap(m.Map())
	apply(t, m, SetLevel{LevelIdentity})
	now := EncodeMap(m.Map())
	if old[0] != formatVersion || now[0] != byte(LevelIdentity) {
		t.Errorf("the versions are %d and %d", old[0], now[0])
	}
	for _, b := range [][]byte{old, now} {
		again, err := DecodeMap(b)
		if err != nil || !bytes.Equal(EncodeMap(again), b) {
			t.Errorf("a map does not survive a round: %v", err)
		}
		wrong := slices.Clone(b)
		wrong[0] ^= formatVersion ^ byte(LevelIdentity)
		if _, err := DecodeMap(wrong); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("a map under another version: %v", err)
		}
	}
	if x := restored(t, m); x.Hash() != m.Hash() {
		t.Error("a snapshot of the new level restores another state")
	}
}

// TestRetire: a node that is removed leaves no pin and no place behind, and its id and its number are never given again.
func TestRetire(t *testing.T) {
	m := bootstrapped(t)
	for _, n := range []Node{server("a2", "a"), server("a3", "a"), edge("e1", "a")} {
		apply(t, m, Join{n})
	}
	if r := apply(t, m, Retire{Node: "a1", At: m.Map().Version - 1}); api.CodeOf(r.Err) != api.CodeConflict {
		t.Errorf("a removal that was judged by an older map: %v", r.Err)
	}
	r := apply(t, m, Retire{Node: "a1", At: m.Map().Version})
	if r.Err != nil || r.Map.Check() != nil {
		t.Fatalf("retired: %v, %v", r.Err, r.Map.Check())
	}
	for _, id := range []api.GroupID{ident.MetaGroup, "a.1"} {
		if g, _ := r.Map.Group(id); g.Founder != "" || !slices.Equal(g.Voters, []api.NodeID{"a2", "a3"}) {
			t.Errorf("group %+v", g)
		}
	}
	if again := apply(t, m, Retire{Node: "a1", At: 1}); again.Err != nil || again.Map != r.Map {
		t.Errorf("again: %+v", again)
	}
	apply(t, m, Retire{Node: "e1"})
	for _, n := range []Node{server("a1", "a"), edge("a1", "a"), edge("e1", "a")} {
		if r := apply(t, m, Join{n}); api.CodeOf(r.Err) != api.CodeConflict {
			t.Errorf("the id of a removed node: %v", r.Err)
		}
	}
	if r := apply(t, m, Join{edge("e2", "a")}); r.Err != nil || r.Map.Nodes[2].Num != 5 {
		t.Errorf("the next node: %+v", r)
	}
	apply(t, m, Retire{Node: "a2"})
	if r := apply(t, m, Retire{Node: "a3"}); api.CodeOf(r.Err) != api.CodeConflict {
		t.Errorf("the last voter: %v", r.Err)
	}
	if r := apply(t, m, Retire{Node: "nobody"}); api.CodeOf(r.Err) != api.CodeNotFound {
		t.Errorf("an unknown node: %v", r.Err)
	}
}

// TestNewerSnapshot: a snapshot of a newer version is no damage: it says so, and changes nothing. Attack 45.
func TestNewerSnapshot(t *testing.T) {
	from, to := bootstrapped(t), bootstrapped(t)
	apply(t, from, Join{server("a2", "a")})
	s, err := from.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := s.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	b := buf.Bytes()
	b[len(magic)] = byte(NewestLevel) + 1
	b = binary.BigEndian.AppendUint32(b[:len(b)-4], crc32.Checksum(b[:len(b)-4], table))
	before := to.Hash()
	if err := to.Restore(bytes.NewReader(b)); !errors.Is(err, ErrNewer) || to.Hash() != before {
		t.Errorf("gave %v", err)
	}
}

// TestRaiseAgain: a map that has identities keeps the numbers of its nodes when it rises, and its bytes are of the new level.
func TestRaiseAgain(t *testing.T) {
	m := oldMachine(t)
	before := apply(t, m, SetLevel{LevelIdentity}).Map
	r := apply(t, m, SetLevel{NewestLevel})
	if r.Err != nil || r.Map.Level != NewestLevel || !slices.EqualFunc(r.Map.Nodes, before.Nodes, Node.Equal) || r.Map.NextNum != before.NextNum {
		t.Fatalf("raised to %+v, %v", r.Map, r.Err)
	}
	b := EncodeMap(r.Map)
	if again, err := DecodeMap(b); err != nil || b[0] != byte(NewestLevel) || again.Level != NewestLevel {
		t.Errorf("a map of version %d: %v", b[0], err)
	}
}

// TestLockBoundary: from its level on the map has no boundary within the directory of a lock.
func TestLockBoundary(t *testing.T) {
	inside := api.PrefixRange("jobs/daily/.lock/a")
	for _, x := range []struct {
		level Level
		r     api.Range
		code  api.Code
	}{
		{LevelHistory, inside, ""},
		{LevelTime, inside, api.CodeInvalid},
		{LevelTime, api.Range{Start: "a", End: "jobs/.lock/"}, api.CodeInvalid},
		{LevelTime, api.PrefixRange("jobs/daily/"), ""},
		{LevelTime, api.PrefixRange("jobs/.locks/"), ""},
		{LevelTime, api.PrefixRange(".lock/a"), ""}, // of no lock: a name comes first
	} {
		m := oldMachine(t)
		apply(t, m, SetLevel{x.level})
		r := apply(t, m, SetRange{x.r, 2, "a", []api.GroupID{"a.1"}})
		if r.Err != nil && r.Err.Code != x.code || r.Err == nil && x.code != "" {
			t.Errorf("%v at level %d: %v", x.r, x.level, r.Err)
		}
	}
}
