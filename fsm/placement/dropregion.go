package placement

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// DropRegion removes a region: its groups, and its servers for good. CodeConflict while it owns ranges, or while one of its servers
// votes in the meta group. Edges of the region stay. Repeated, it does nothing.
type DropRegion struct {
	Region api.RegionID `cbor:"1,keyasint"`
}

func (DropRegion) kind() byte { return kindDropRegion }

func (s *state) dropRegion(c DropRegion) (changes, error) {
	m := s.Map
	if n := m.RangesOf(c.Region); n > 0 {
		return nothing, api.Errorf(api.CodeConflict, "%s owns %d ranges: move them first", c.Region, n)
	}
	var servers []api.NodeID
	for _, n := range m.Nodes {
		if n.Region == c.Region && n.Role == api.RoleServer {
			servers = append(servers, n.ID)
		}
	}
	meta, _ := m.Group(ident.MetaGroup)
	for _, v := range meta.Voters {
		if slices.Contains(servers, v) {
			return nothing, api.Errorf(api.CodeConflict, "server %s of %s votes in the meta group: give its place to another server first", v, c.Region)
		}
	}
	if len(m.Retired)+len(servers) > maxRetired {
		return nothing, api.Errorf(api.CodeTooLarge, "the cluster is at its limit of %d removed servers", maxRetired)
	}
	if len(servers) == 0 && len(m.GroupsOf(c.Region)) == 0 {
		return nothing, nil
	}
	m.Nodes = slices.DeleteFunc(slices.Clone(m.Nodes), func(n Node) bool { return slices.Contains(servers, n.ID) })
	m.Groups = slices.DeleteFunc(slices.Clone(m.Groups), func(g Group) bool { return g.ID != ident.MetaGroup && g.Region == c.Region })
	for i, g := range m.Groups {
		if slices.Contains(servers, g.Founder) {
			m.Groups[i].Founder = ""
		}
	}
	m.Retired = append(slices.Clone(m.Retired), servers...)
	return ofMap, nil
}

// Without returns the map as if the region had no servers, to judge which servers may take their places. It is not consistent in itself.
func (m *Map) Without(r api.RegionID) *Map {
	rest := *m
	rest.Nodes = slices.DeleteFunc(slices.Clone(m.Nodes), func(n Node) bool { return n.Region == r && n.Role == api.RoleServer })
	return &rest
}

// RangesOf counts the ranges that the region owns.
func (m *Map) RangesOf(r api.RegionID) (n int) {
	for _, s := range m.Ranges {
		if s.Region == r {
			n++
		}
	}
	return n
}
