package placement

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what it was; formats in use never change\n got: %s\nwant: %s", path, got, want)
	}
}

func apply(t *testing.T, m *Machine, c Command) Result {
	t.Helper()
	return applied(t, m, 1, Encode(c))[0]
}

// applied are the results of one entry.
func applied(t *testing.T, m *Machine, term api.Term, commands ...[]byte) []Result {
	t.Helper()
	results, err := m.Apply(term, commands)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// TestNewer: an entry with a command of an unknown version or kind changes nothing; what is malformed is refused.
func TestNewer(t *testing.T) {
	m := bootstrapped(t)
	before := m.Hash()
	for _, b := range [][]byte{{formatVersion + 1, kindJoin}, {formatVersion, byte(len(commands))}, Encode(SetLevel{NewestLevel + 1}), {byte(NewestLevel) + 1, kindTouch}, {0}} {
		if _, err := m.Apply(2, [][]byte{Encode(TermStart{}), b}); !errors.Is(err, ErrNewer) || m.Hash() != before {
			t.Errorf("%x gave %v", b, err)
		}
	}
	for _, b := range [][]byte{nil, {formatVersion}, {formatVersion, kindJoin, 0xff}} {
		if r := applied(t, m, 2, b)[0]; api.CodeOf(r.Err) != api.CodeInvalid {
			t.Errorf("%x gave %v", b, r.Err)
		}
	}
}

func bootstrapped(t *testing.T) *Machine {
	t.Helper()
	first, err := Bootstrap(NewestLevel, "c", server("a1", "a"), 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	m := New()
	if r := apply(t, m, Init{Map: first}); r.Err != nil {
		t.Fatal(r.Err)
	}
	return m
}

func TestBeforeInit(t *testing.T) {
	m := New()
	if r := apply(t, m, Join{server("x", "r")}); r.Err == nil || r.Err.Code != api.CodeUnavailable || r.Map != nil {
		t.Errorf("join before init gave %+v", r)
	}
	if r := apply(t, m, TermStart{}); r.Err != nil || r.Map != nil {
		t.Errorf("term start before init gave %+v", r)
	}
	bad := planet(t, 1)
	bad.Ranges = nil
	if r := apply(t, m, Init{Map: bad}); r.Err == nil || m.Map() != nil {
		t.Errorf("a map without ranges was taken: %+v", r)
	}
}

func TestInitOnce(t *testing.T) {
	m := bootstrapped(t)
	before := m.Map()
	if r := apply(t, m, Init{Map: planet(t, 1)}); r.Err != nil || m.Map() != before {
		t.Errorf("a second init gave %+v", r)
	}
}

// TestJoins follows the places as servers come.
func TestJoins(t *testing.T) {
	m := bootstrapped(t)
	steps := []struct {
		node  Node
		group api.GroupID
		want  string
		meta  string
	}{
		{edge("e", "b"), "a.1", "a1", "a1"},
		{server("a2", "a"), "a.1", "a1 a2", "a1 a2"},
		{server("a3", "a"), "a.1", "a1 a2 a3", "a1 a2 a3"},
		{server("a4", "a"), "a.1", "a1 a2 a3", "a1 a2 a3"},
		{server("b1", "b"), "b.1", "b1", "a1 a2 a3"},
		{server("c1", "c"), "c.1", "c1", "a1 b1 c1"},
		{server("b2", "b"), "b.1", "b1 b2", "a1 b1 c1"},
		{server("d1", "d"), "d.1", "d1", "a1 b1 c1"},
	}
	for _, s := range steps {
		r := apply(t, m, Join{s.node})
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if err := r.Map.Check(); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[api.GroupID]string{s.group: s.want, ident.MetaGroup: s.meta} {
			g, _ := r.Map.Group(id)
			if got := strings.Trim(fmt.Sprint(g.Voters), "[]"); got != want {
				t.Errorf("after %s, %s has voters %s, want %s", s.node.ID, id, got, want)
			}
		}
	}
}

func TestFiveVoters(t *testing.T) {
	var nodes []Node
	for _, r := range []string{"a", "b", "c", "d", "e", "f"} {
		for i := range 6 {
			nodes = append(nodes, server(fmt.Sprint(r, i), r))
		}
	}
	m, err := Static("c", nodes, 1, 5)
	if err != nil {
		t.Fatal(err)
	}
	meta, _ := m.Group(ident.MetaGroup)
	if want := []api.NodeID{"a0", "b0", "c0", "d0", "e0"}; !slices.Equal(meta.Voters, want) {
		t.Errorf("meta voters are %v, want %v", meta.Voters, want)
	}
	if g, _ := m.Group("b.1"); len(g.Voters) != 5 {
		t.Errorf("group b.1 has voters %v", g.Voters)
	}
}

func TestJoinAgain(t *testing.T) {
	m := bootstrapped(t)
	version := m.Map().Version
	if r := apply(t, m, Join{server("a1", "a")}); r.Err != nil || r.Map.Version != version {
		t.Errorf("the same again gave %+v", r)
	}
	moved := server("a1", "a")
	moved.Address = "elsewhere:1"
	r := apply(t, m, Join{moved})
	if n, _ := r.Map.Node("a1"); r.Err != nil || n.Address != "elsewhere:1" || r.Map.Version != version+1 || len(r.Map.Nodes) != 1 {
		t.Errorf("a new address gave %+v", r)
	}
	for _, other := range []Node{server("a1", "b"), edge("a1", "a")} {
		if r := apply(t, m, Join{other}); r.Err == nil || r.Err.Code != api.CodeConflict {
			t.Errorf("another node with the id gave %+v", r)
		}
	}
}

func TestSetRange(t *testing.T) {
	m := bootstrapped(t)
	apply(t, m, Join{server("b1", "b")})
	first := apply(t, m, SetRange{api.PrefixRange("k/"), 2, "b", []api.GroupID{"b.1"}})
	if first.Err != nil {
		t.Fatal(first.Err)
	}
	if g, epoch, _ := first.Map.Locate("k/x"); g != "b.1" || epoch != 2 || len(first.Map.Ranges) != 3 {
		t.Errorf("k/x belongs to %s at %d in %+v", g, epoch, first.Map.Ranges)
	}
	if r := apply(t, m, SetRange{api.PrefixRange("k/"), 2, "b", []api.GroupID{"b.1"}}); r.Err != nil || r.Map != first.Map {
		t.Errorf("a repetition gave %+v", r)
	}
	for name, c := range map[string]SetRange{
		"late":       {api.PrefixRange("k/"), 2, "a", []api.GroupID{"a.1"}},
		"wider late": {api.PrefixRange(""), 2, "a", []api.GroupID{"a.1"}},
		"foreign":    {api.PrefixRange("k/"), 3, "a", []api.GroupID{"b.1"}},
		"unknown":    {api.PrefixRange("k/"), 3, "z", []api.GroupID{"z.1"}},
		"nobody":     {api.PrefixRange("k/"), 3, "b", nil},
		"backwards":  {api.Range{Start: "b", End: "a"}, 3, "b", []api.GroupID{"b.1"}},
	} {
		if r := apply(t, m, c); r.Err == nil || r.Map != first.Map {
			t.Errorf("%s: gave %+v", name, r)
		}
	}
	all := apply(t, m, SetRange{api.PrefixRange(""), 3, "b", []api.GroupID{"b.1"}})
	if all.Err != nil || len(all.Map.Ranges) != 1 {
		t.Errorf("all to b gave %+v", all)
	}
	if err := all.Map.Check(); err != nil {
		t.Error(err)
	}
}

// TestRandom applies random commands to two replicas, one of which is restored from snapshots at random points: both stay
// equal, every map checks, versions and epochs only rise, and maps that were handed out never change.
func TestRandom(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 5))
		a, b := New(), New()
		var old []*Map
		var sums [][]byte
		for step := range 150 {
			before := a.Map()
			commands := make([][]byte, 1+rng.IntN(3))
			for i := range commands {
				commands[i] = randomCommand(rng, before)
			}
			ra, erra := a.Apply(api.Term(step/10), commands)
			rb, errb := b.Apply(api.Term(step/10), commands)
			if (erra == nil) != (errb == nil) {
				t.Fatalf("seed %d: replicas differ: %v, %v", seed, erra, errb)
			}
			for i := range ra {
				if (ra[i].Err == nil) != (rb[i].Err == nil) || ra[i].Index != rb[i].Index {
					t.Fatalf("seed %d: replicas differ: %+v, %+v", seed, ra[i], rb[i])
				}
			}
			if a.Hash() != b.Hash() {
				t.Fatalf("seed %d: states differ at %d", seed, a.Counter())
			}
			if err := a.state.Load().check(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if m := a.Map(); m != nil {
				risen(t, before, m)
				old, sums = append(old, m), append(sums, EncodeMap(m))
			}
			if rng.IntN(10) == 0 {
				b = restored(t, a)
			}
		}
		for i, m := range old {
			if !bytes.Equal(EncodeMap(m), sums[i]) {
				t.Fatalf("seed %d: a map was changed after it had been handed out", seed)
			}
		}
	}
}

func risen(t *testing.T, before, after *Map) {
	t.Helper()
	if before == nil || before == after {
		return
	}
	if after.Version <= before.Version {
		t.Fatalf("the version went from %d to %d", before.Version, after.Version)
	}
	for _, s := range after.Ranges {
		for _, o := range before.Spans(s.Range) {
			if s.Epoch < o.Epoch || s.Epoch == o.Epoch && !slices.Equal(s.Groups, o.Groups) {
				t.Fatalf("%+v became %+v", o, s)
			}
		}
	}
}

func restored(t *testing.T, from *Machine) *Machine {
	t.Helper()
	s, err := from.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := s.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	to := New()
	if err := to.Restore(&buf); err != nil {
		t.Fatal(err)
	}
	return to
}

// randomCommand is a command as it may stand in the log, or bytes that are none.
func randomCommand(rng *rand.Rand, now *Map) []byte {
	if rng.IntN(8) > 0 {
		return Encode(anyCommand(rng, now))
	}
	b := make([]byte, rng.IntN(8))
	for i := range b {
		b[i] = byte(rng.IntN(8))
	}
	return b
}

// TestGolden pins the formats of commands, maps and snapshots.
func TestGolden(t *testing.T) {
	first, err := static(Level0, "c0ffee", []Node{server("a1", "a")}, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	commands := []Command{
		Init{Map: first}, TermStart{}, Join{server("b1", "b")}, Join{edge("e1", "b")},
		SetRange{api.Range{Start: "k\xff", End: "l"}, 2, "b", []api.GroupID{"b.1", "b.2"}},
		SetRange{api.Range{Start: "k\xff", End: "l"}, 1, "a", []api.GroupID{"a.1", "a.2"}},
	}
	var out strings.Builder
	m := New()
	for _, c := range commands {
		b := Encode(c)
		r := applied(t, m, 7, b)[0]
		code := "ok"
		if r.Err != nil {
			code = string(r.Err.Code)
		}
		fmt.Fprintf(&out, "%T %x\n -> %d %s %s\n", c, b, r.Index, code, hex.EncodeToString(EncodeMap(r.Map)))
	}
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := s.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "snapshot %x\nhash %x\n", buf.Bytes(), m.Hash())
	golden(t, "format-1.txt", out.String())
}

// TestRestoreRefusesDamage: no single damaged byte, and no missing one, goes unnoticed or does harm.
func TestRestoreRefusesDamage(t *testing.T) {
	from := bootstrapped(t)
	s, _ := from.Snapshot()
	var buf bytes.Buffer
	if _, err := s.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	whole := buf.Bytes()
	for i := range whole {
		harmed := slices.Clone(whole)
		harmed[i] ^= 0x41
		to := New()
		if err := to.Restore(bytes.NewReader(harmed)); err == nil || to.Map() != nil {
			t.Fatalf("byte %d damaged: %v", i, err)
		}
		if err := to.Restore(bytes.NewReader(whole[:i])); err == nil || to.Map() != nil {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	failing := New()
	if err := failing.Restore(brokenReader{}); !errors.Is(err, api.CodeInternal) {
		t.Errorf("a reader's error became %v", err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("no disk") }

func FuzzDecode(f *testing.F) {
	m, err := Bootstrap(NewestLevel, "c", server("a1", "a"), 2, 3)
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range someOfEach(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b)
		if err != nil {
			if api.CodeOf(err) != api.CodeInvalid {
				t.Errorf("%x gave %v", b, err)
			}
			return
		}
		again, err := Decode(Encode(c))
		if err != nil || !bytes.Equal(Encode(again), Encode(c)) {
			t.Errorf("%x does not survive a round: %v", b, err)
		}
		if newer(b) {
			return // it stops a replica: TestNewer
		}
		for _, before := range [][]byte{Encode(Init{Map: m}), Encode(TermStart{})} {
			x := New()
			applied(t, x, 1, before, b, b)
			if err := x.state.Load().check(); err != nil {
				t.Errorf("%x makes a broken state: %v", b, err)
			}
		}
	})
}

func FuzzRestore(f *testing.F) {
	m := New()
	s, _ := m.Snapshot()
	var buf bytes.Buffer
	if _, err := s.WriteTo(&buf); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	buf.Reset()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		if _, err := m.Apply(1, [][]byte{Encode(anyCommand(rng, m.Map()))}); err != nil {
			f.Fatal(err)
		}
	}
	s, _ = m.Snapshot()
	if _, err := s.WriteTo(&buf); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		x := New()
		if x.Restore(bytes.NewReader(b)) == nil && x.state.Load().check() != nil {
			t.Error("a broken state was restored")
		}
	})
}
