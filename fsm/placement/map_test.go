package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

func server(id, region string) Node {
	return Node{ID: api.NodeID(id), Region: api.RegionID(region), Role: api.RoleServer, Address: id + ":7400", URL: "http://" + id + ":7400"}
}

func edge(id, region string) Node {
	return Node{ID: api.NodeID(id), Region: api.RegionID(region), Role: api.RoleEdge, Address: id + ":7400"}
}

// planet is three regions of three servers and an edge.
func planet(t *testing.T, groups int, prefixes ...api.RegionID) *Map {
	t.Helper()
	var nodes []Node
	for _, r := range []string{"us-east", "eu-west", "ap-south"} {
		for i := range 3 {
			nodes = append(nodes, server(fmt.Sprintf("%s-%d", r, i+1), r))
		}
		nodes = append(nodes, edge(r+"-edge-1", r))
	}
	m, err := Static("c", nodes, groups, 3, prefixes...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestStatic(t *testing.T) {
	m := planet(t, 1, "us-east", "eu-west", "ap-south")
	for key, want := range map[api.Key]api.GroupID{
		"": "us-east.1", "a": "us-east.1", "us-east/x": "us-east.1", "eu-west/x": "eu-west.1", "eu-west/": "eu-west.1",
		"eu-west": "us-east.1", "eu-west0": "us-east.1", "ap-south/y": "ap-south.1", "\xff\xff": "us-east.1",
	} {
		if g, epoch, ok := m.Locate(key); !ok || g != want || epoch != 1 {
			t.Errorf("%q belongs to %s at %d, %v; want %s", key, g, epoch, ok, want)
		}
	}
	meta, _ := m.Group(ident.MetaGroup)
	if want := []api.NodeID{"us-east-1", "eu-west-1", "ap-south-1"}; !slices.Equal(meta.Voters, want) || meta.Founder != "us-east-1" {
		t.Errorf("the meta group is %+v", meta)
	}
	eu, _ := m.Group("eu-west.1")
	if want := []api.NodeID{"eu-west-1", "eu-west-2", "eu-west-3"}; !slices.Equal(eu.Voters, want) || eu.Founder != want[0] {
		t.Errorf("group eu-west.1 is %+v", eu)
	}
	if got := m.VotersAt("eu-west-1"); !slices.Equal(got, []api.GroupID{ident.MetaGroup, "eu-west.1"}) {
		t.Errorf("eu-west-1 votes in %v", got)
	}
}

func TestStaticRefuses(t *testing.T) {
	for name, f := range map[string]func() (*Map, error){
		"no server": func() (*Map, error) { return Static("c", []Node{edge("e", "r")}, 1, 3) },
		"voters":    func() (*Map, error) { return Static("c", []Node{server("a", "r")}, 1, 4) },
		"groups":    func() (*Map, error) { return Static("c", []Node{server("a", "r")}, 33, 3) },
		"prefix":    func() (*Map, error) { return Static("c", []Node{server("a", "r")}, 1, 3, "other") },
		"name":      func() (*Map, error) { return Static("c", []Node{server("", "r")}, 1, 3) },
		"cluster":   func() (*Map, error) { return Static("", []Node{server("a", "r")}, 1, 3) },
	} {
		if _, err := f(); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTogether: the keys with a prefix have one owner, in one range, and all others have those that they had.
func TestTogether(t *testing.T) {
	m, before := planet(t, 4, "eu-west"), planet(t, 4, "eu-west")
	m.Together("consul/")
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	spans := m.Scan(api.PrefixRange("consul/"))
	if len(spans) != 1 || len(spans[0].Groups) != 1 || spans[0].Region != "us-east" {
		t.Fatalf("the keys have the owners %+v", spans)
	}
	for _, k := range []api.Key{"", "consul", "consul/", "consul/a", "consul/a/b", "consul/a/c/d", "consul0", "eu-west/a", "z/y/x"} {
		g, epoch, _ := m.Locate(k)
		was, at, _ := before.Locate(k)
		if inside := api.PrefixRange("consul/").Contains(k); inside && g != spans[0].Groups[0] || !inside && g != was || epoch != at {
			t.Errorf("%q belongs to %s at epoch %d, before to %s at %d", k, g, epoch, was, at)
		}
	}
	one := planet(t, 1, "eu-west")
	one.Together("consul/")
	if len(one.Ranges) != len(planet(t, 1, "eu-west").Ranges) {
		t.Errorf("keys that have one owner are a range of their own: %+v", one.Ranges)
	}
	m.Together("")
	if len(m.Scan(api.PrefixRange("consul0"))[0].Groups) == 1 {
		t.Error("keys of several ranges have one owner")
	}
}

func TestShardsPartition(t *testing.T) {
	m := planet(t, 4, "eu-west")
	rng := rand.New(rand.NewPCG(1, 2))
	seen := map[api.GroupID]int{}
	for range 2000 {
		k := randomKey(rng)
		g, _, ok := m.Locate(k)
		if !ok {
			t.Fatalf("%q has no owner", k)
		}
		seen[g]++
		owners := 0
		for _, x := range m.Groups {
			for _, o := range m.Owned(x.ID) {
				if o.Range.Contains(k) && ident.ShardOf(k, o.Of) == o.Index {
					owners++
					if x.ID != g {
						t.Errorf("%q is located at %s and owned by %s", k, g, x.ID)
					}
				}
			}
		}
		if owners != 1 {
			t.Errorf("%q has %d owners", k, owners)
		}
	}
	if len(seen) != 8 {
		t.Errorf("keys fell to %v, want eight groups", seen)
	}
}

// randomKey is short and of few letters, so that keys share segments and meet bounds.
func randomKey(rng *rand.Rand) api.Key {
	const letters = "ab/\x00\xff"
	b := make([]byte, 1+rng.IntN(6))
	for i := range b {
		b[i] = letters[rng.IntN(len(letters))]
	}
	if rng.IntN(3) == 0 {
		return api.Key("eu-west/" + string(b))
	}
	return api.Key(b)
}

// TestScanFindsAll: a scan of a range names, for every key in it, a part that holds the key and its owner; the parts are
// in order and do not overlap.
func TestScanFindsAll(t *testing.T) {
	m := planet(t, 3, "eu-west", "ap-south")
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		r := api.Range{Start: randomKey(rng), End: randomKey(rng)}
		switch {
		case rng.IntN(3) == 0:
			r = api.PrefixRange(randomKey(rng) + "/" + randomKey(rng) + "/")
		case r.End <= r.Start:
			r.End = ""
		}
		parts := m.Scan(r)
		for i, p := range parts {
			if !r.ContainsRange(p.Range) || i > 0 && parts[i-1].Range.End != p.Range.Start {
				t.Fatalf("scan of %v gave %+v", r, parts)
			}
		}
		k := randomKey(rng)
		if !r.Contains(k) {
			k = r.Start + "b"
		}
		if !r.Contains(k) {
			continue
		}
		g, _, _ := m.Locate(k)
		i := slices.IndexFunc(parts, func(p Span) bool { return p.Range.Contains(k) })
		if i < 0 || !slices.Contains(parts[i].Groups, g) {
			t.Fatalf("scan of %v leaves out %q of %s: %+v", r, k, g, parts)
		}
	}
	if parts := m.Scan(api.PrefixRange("a/b/c")); len(parts) != 1 || len(parts[0].Groups) != 1 {
		t.Errorf("keys of one shard are looked for at %+v", parts)
	}
	if parts := m.Scan(api.PrefixRange("a/b")); len(parts) != 1 || len(parts[0].Groups) != 3 {
		t.Errorf("keys of several shards are looked for at %+v", parts)
	}
}

func TestStatus(t *testing.T) {
	m := planet(t, 2, "eu-west")
	if rows := m.Status(); len(rows) != 6 || rows[2].Start != "eu-west/" || rows[2].Group != "eu-west.1" || rows[2].Epoch != 1 {
		t.Errorf("the ranges are %+v", rows)
	}
}

// TestCheckCatches: what is broken in a map on purpose is found.
func TestCheckCatches(t *testing.T) {
	for name, harm := range map[string]func(m *Map){
		"gap":          func(m *Map) { m.Ranges = m.Ranges[1:] },
		"overlap":      func(m *Map) { m.Ranges[1].Range.Start = "" },
		"open end":     func(m *Map) { m.Ranges[len(m.Ranges)-1].Range.End = "\xff" },
		"no owner":     func(m *Map) { m.Ranges[0].Groups = nil },
		"no epoch":     func(m *Map) { m.Ranges[0].Epoch = 0 },
		"meta owns":    func(m *Map) { m.Ranges[0].Groups = []api.GroupID{ident.MetaGroup} },
		"foreign":      func(m *Map) { m.Ranges[0].Region = "eu-west" },
		"twice":        func(m *Map) { m.Nodes = append(m.Nodes, m.Nodes[0]) },
		"voter":        func(m *Map) { m.Groups[1].Voters[0] = "nobody" },
		"edge votes":   func(m *Map) { m.Groups[1].Voters[0] = "us-east-edge-1" },
		"voter twice":  func(m *Map) { m.Groups[1].Voters[0] = m.Groups[1].Voters[1] },
		"founder":      func(m *Map) { m.Groups[1].Founder = "eu-west-1" },
		"group twice":  func(m *Map) { m.Groups = append(m.Groups, m.Groups[1]) },
		"no cluster":   func(m *Map) { m.ClusterID = "" },
		"no ranges":    func(m *Map) { m.Ranges = nil },
		"shard twice":  func(m *Map) { m.Ranges[0].Groups = []api.GroupID{"us-east.1", "us-east.1"} },
		"unknown role": func(m *Map) { m.Nodes[0].Role = "king" },
	} {
		m := planet(t, 1, "eu-west")
		harm(m)
		if m.Check() == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}
