package placement

import (
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Limits of a map.
const (
	MaxNodes  = 4096
	MaxGroups = 1024
	MaxRanges = 65_536
	// MaxGroupsPerRegion is how many groups a region may found.
	MaxGroupsPerRegion = 32
)

// Bootstrap returns the map of a new cluster, at the level, whose first server is n: its region owns every key. groups is how many
// groups a region runs (0 is 1), voters how many voters each wants (0 is 3).
func Bootstrap(l Level, clusterID string, n Node, groups, voters int) (*Map, error) {
	return static(l, clusterID, []Node{n}, groups, voters)
}

// Static returns the map, at the newest level, of a planet whose nodes are all known beforehand. Each region in prefixes owns the keys that begin
// with its name and a slash; the region of the first server owns all others.
func Static(clusterID string, nodes []Node, groups, voters int, prefixes ...api.RegionID) (*Map, error) {
	return static(NewestLevel, clusterID, nodes, groups, voters, prefixes...)
}

func static(l Level, clusterID string, nodes []Node, groups, voters int, prefixes ...api.RegionID) (*Map, error) {
	if groups == 0 {
		groups = 1
	}
	if voters == 0 {
		voters = 3
	}
	m := &Map{ClusterID: clusterID, Version: 1, GroupsPerRegion: groups, Voters: voters, Level: l}
	if groups < 1 || groups > MaxGroupsPerRegion || voters != 3 && voters != 5 {
		return nil, bad("a region runs 1 to %d groups of 3 or 5 voters, not %d of %d", MaxGroupsPerRegion, groups, voters)
	}
	for _, n := range nodes {
		if _, err := m.join(n); err != nil {
			return nil, err
		}
	}
	if len(m.Groups) == 0 {
		return nil, bad("a cluster needs a server")
	}
	first := m.Groups[slices.IndexFunc(m.Groups, func(g Group) bool { return g.ID != ident.MetaGroup })].Region
	m.Ranges = []Span{{Epoch: 1, Region: first, Groups: m.GroupsOf(first)}}
	for _, r := range prefixes {
		owners := m.GroupsOf(r)
		if len(owners) == 0 {
			return nil, bad("region %q has no server to own its keys", r)
		}
		m.assign(Span{Range: api.PrefixRange(api.Key(r) + "/"), Epoch: 1, Region: r, Groups: owners})
	}
	return m, m.Check()
}

// Together gives all keys with the prefix to one group of a region that divides them among several. It does nothing if one group
// has all of them already, or if they are of several ranges. m is the map of a cluster that has no groups yet.
func (m *Map) Together(prefix api.Key) {
	spans := m.Spans(api.PrefixRange(prefix))
	if len(spans) != 1 || len(spans[0].Groups) < 2 {
		return
	}
	s := spans[0]
	s.Groups = []api.GroupID{s.Owner(prefix)}
	m.assign(s)
}

// place gives a new server its places: it founds the groups of a new region, or joins the voters of its region's groups
// while they want more; and the meta group's voters are chosen anew.
func (m *Map) place(n Node) error {
	groups := slices.Clone(m.Groups)
	if len(groups) == 0 {
		groups = append(groups, Group{ID: ident.MetaGroup, Founder: n.ID})
	}
	if len(m.GroupsOf(n.Region)) == 0 {
		if len(groups)+m.GroupsPerRegion > MaxGroups {
			return api.Errorf(api.CodeTooLarge, "the cluster is at its limit of %d groups", MaxGroups)
		}
		for i := range m.GroupsPerRegion {
			groups = append(groups, Group{ID: GroupName(n.Region, i), Region: n.Region, Founder: n.ID})
		}
	}
	for i, g := range groups {
		switch {
		case g.ID == ident.MetaGroup:
			groups[i].Voters = m.metaVoters(g.Voters)
		case g.Region == n.Region && len(g.Voters) < m.Voters:
			groups[i].Voters = append(slices.Clone(g.Voters), n.ID)
		}
	}
	m.Groups = groups
	return nil
}

// GroupName names the group with that index (from 0) of a region: "us-east.1" is the first.
func GroupName(r api.RegionID, index int) api.GroupID {
	return api.GroupID(fmt.Sprintf("%s.%d", r, index+1))
}

// metaVoters chooses the meta group's voters. With three or more regions it is a server in each of three, or of five if the
// cluster wants five voters and has five regions, so that the loss of a region leaves a majority. With fewer regions it is
// three servers. Present voters stay if possible.
func (m *Map) metaVoters(present []api.NodeID) []api.NodeID {
	var servers []Node // the present voters first, then in order of joining
	for _, v := range present {
		if n, ok := m.Node(v); ok {
			servers = append(servers, n)
		}
	}
	for _, n := range m.Nodes {
		if n.Role == api.RoleServer && !slices.Contains(present, n.ID) {
			servers = append(servers, n)
		}
	}
	var each []api.NodeID // one server in each region
	seen := map[api.RegionID]bool{}
	for _, n := range servers {
		if !seen[n.Region] {
			seen[n.Region] = true
			each = append(each, n.ID)
		}
	}
	switch {
	case len(each) >= 5 && m.Voters >= 5:
		return each[:5]
	case len(each) >= 3:
		return each[:3]
	}
	var voters []api.NodeID
	for _, n := range servers[:min(len(servers), 3)] {
		voters = append(voters, n.ID)
	}
	return voters
}
