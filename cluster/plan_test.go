package cluster

import (
	"fmt"
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/fsm/ident"
)

// threeRegions is a planet of four servers and an edge in each of three regions.
func threeRegions() Planned {
	p := Planned{ClusterID: "c", Prefixes: []api.RegionID{"eu", "us"}}
	for _, r := range []api.RegionID{"eu", "us", "ap"} {
		for i := range 4 {
			id := api.NodeID(fmt.Sprintf("%s-%d", r, i))
			p.Nodes = append(p.Nodes, PlannedNode{ID: id, Region: r, Role: api.RoleServer, Address: string(id) + ":1"})
		}
		p.Nodes = append(p.Nodes, PlannedNode{ID: api.NodeID(r + "-edge"), Region: r, Role: api.RoleEdge, Address: string(r) + "-edge:1"})
	}
	return p
}

// TestPlan: each region votes on its own keys by servers of its own, the map is voted on by one server of each, and the
// first region owns what no other does.
func TestPlan(t *testing.T) {
	m, err := Plan(threeRegions(), 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	for key, region := range map[api.Key]api.RegionID{"": "eu", "eu/x": "eu", "us/x": "us", "us": "eu", "us0": "eu", "ap/x": "eu", "zz": "eu"} {
		id, _, ok := m.Locate(key)
		if g, _ := m.Group(id); !ok || g.Region != region {
			t.Errorf("%q belongs to %q of region %q, not to %q", key, id, g.Region, region)
		}
	}
	if len(m.Groups) != 1+3*2 {
		t.Errorf("%d groups", len(m.Groups))
	}
	for _, g := range m.Groups {
		var regions []api.RegionID
		for _, v := range g.Voters {
			n, _ := m.Node(v)
			if n.Role != api.RoleServer {
				t.Errorf("%s votes in %s", v, g.ID)
			}
			regions = append(regions, n.Region)
		}
		slices.Sort(regions)
		regions = slices.Compact(regions)
		if len(g.Voters) != 3 || (g.ID == ident.MetaGroup) != (len(regions) == 3) || g.ID != ident.MetaGroup && len(regions) != 1 {
			t.Errorf("%s is voted on by %v", g.ID, g.Voters)
		}
	}
	if n, ok := m.Node("us-edge"); !ok || n.URL != "http://us-edge:1" || n.Address != "us-edge:1" {
		t.Errorf("an edge is reached at %+v", n)
	}
}

func TestPlanRefuses(t *testing.T) {
	for name, change := range map[string]func(p *Planned, groups, voters *int){
		"no server":                            func(p *Planned, _, _ *int) { p.Nodes = p.Nodes[4:5] },
		"one id twice":                         func(p *Planned, _, _ *int) { p.Nodes[1].ID, p.Nodes[1].Region = p.Nodes[0].ID, "us" },
		"a prefix of a region without servers": func(p *Planned, _, _ *int) { p.Prefixes = []api.RegionID{"mars"} },
		"too many groups":                      func(_ *Planned, groups, _ *int) { *groups = 1000 },
		"two voters":                           func(_ *Planned, _, voters *int) { *voters = 2 },
		"no name":                              func(p *Planned, _, _ *int) { p.ClusterID = "" },
	} {
		p, groups, voters := threeRegions(), 1, 3
		change(&p, &groups, &voters)
		if m, err := Plan(p, groups, voters); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// TestQuickWideTiming: quick is quicker than wide, and bears a round trip around the planet many times over.
func TestQuickWideTiming(t *testing.T) {
	quick, wide := QuickWideTiming(), replica.WideTiming()
	if quick.Heartbeat >= wide.Heartbeat || quick.Heartbeat < 900*1e6 || quick.Election < quick.Heartbeat || quick.LeaderLease > quick.Heartbeat {
		t.Errorf("%+v", quick)
	}
}
