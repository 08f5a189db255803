package placement

import (
	"cmp"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Check returns the first contradiction in the map; nil if a machine may hold it.
func (m *Map) Check() error {
	if m.ClusterID == "" || m.Voters < 1 || m.GroupsPerRegion < 1 {
		return bad("a placement map needs a cluster id, voters and groups")
	}
	if err := m.checkNodes(); err != nil {
		return err
	}
	if err := m.checkLevel(); err != nil {
		return err
	}
	groups := map[api.GroupID]api.RegionID{}
	for _, g := range m.Groups {
		if _, twice := groups[g.ID]; twice || g.ID == "" {
			return bad("group %q is twice in the placement map, or has no name", g.ID)
		}
		groups[g.ID] = g.Region
		if err := m.checkVoters(g); err != nil {
			return err
		}
	}
	return m.checkRanges(groups)
}

func (m *Map) checkNodes() error {
	seen := map[api.NodeID]bool{}
	for _, n := range m.Nodes {
		if err := n.Check(); err != nil {
			return err
		}
		if seen[n.ID] {
			return bad("node %q is twice in the placement map", n.ID)
		}
		seen[n.ID] = true
	}
	return nil
}

// checkLevel returns what the map says that its level does not have, or a contradiction in that.
func (m *Map) checkLevel() error {
	if !m.Level.known() {
		return bad("there is no level %d of the placement map", m.Level)
	}
	if m.Level == Level0 {
		if m.Security != Plain || len(m.Roots)+len(m.Settings)+len(m.Retired) > 0 || m.NextNum != 0 ||
			slices.ContainsFunc(m.Nodes, func(n Node) bool { return !n.plain() }) {
			return bad("a placement map of level 0 has what only level %d has", LevelIdentity)
		}
		return nil
	}
	if err := m.checkTrust(); err != nil {
		return err
	}
	if err := m.checkNumbers(); err != nil {
		return err
	}
	return m.checkSettings()
}

func (m *Map) checkTrust() error {
	switch {
	case m.Security != Plain && m.Security != Both && m.Security != TLS:
		return bad("the security of a cluster is plain, both or tls, not %q", m.Security)
	case m.Security != Plain && len(m.Roots) == 0:
		return bad("a cluster with TLS needs a root certificate")
	case len(m.Roots) > MaxRoots || slices.ContainsFunc(m.Roots, func(r []byte) bool { return len(r) == 0 || len(r) > maxRootBytes }):
		return bad("a cluster has at most %d root certificates of at most %d bytes", MaxRoots, maxRootBytes)
	case len(m.Retired) > maxRetired:
		return bad("the placement map remembers more than %d servers that were removed", maxRetired)
	}
	return nil
}

// checkNumbers checks what no two nodes may share: numbers, and the names of their certificates.
func (m *Map) checkNumbers() error {
	numbers, names := map[uint32]bool{}, map[string]api.NodeID{}
	for _, n := range m.Nodes {
		if n.Num == 0 || n.Num >= m.NextNum || numbers[n.Num] {
			return bad("node %q has the number %d, which is not its own or was never given", n.ID, n.Num)
		}
		numbers[n.Num] = true
		for _, name := range n.Names {
			if owner, taken := names[name]; taken && !isAddress(name) {
				return bad("the name %q belongs to both %q and %q", name, owner, n.ID)
			}
			names[name] = n.ID
		}
	}
	return nil
}

func (m *Map) checkVoters(g Group) error {
	voters := slices.Clone(g.Voters)
	slices.Sort(voters)
	if len(slices.Compact(voters)) != len(g.Voters) || len(g.Voters) == 0 {
		return bad("group %q has no voter, or one twice", g.ID)
	}
	if g.Founder != "" || m.Level == Level0 {
		voters = append(voters, g.Founder)
	}
	for _, v := range voters {
		n, ok := m.Node(v)
		if !ok || n.Role != api.RoleServer || g.ID != ident.MetaGroup && n.Region != g.Region {
			return bad("voter %q of group %q is not a server of its region", v, g.ID)
		}
	}
	return nil
}

func (m *Map) checkRanges(groups map[api.GroupID]api.RegionID) error {
	next := api.Key("")
	for i, s := range m.Ranges {
		last := i == len(m.Ranges)-1
		if s.Range.Start != next || (s.Range.End == "") != last || !last && s.Range.End <= s.Range.Start {
			return bad("the ranges of the placement map leave out or repeat keys at %q", string(next))
		}
		next = s.Range.End
		if s.Epoch == 0 || len(s.Groups) == 0 {
			return bad("range %v has no epoch or no owner", s.Range)
		}
		if err := checkOwners(s, groups); err != nil {
			return err
		}
	}
	if len(m.Ranges) == 0 {
		return bad("the placement map has no ranges")
	}
	return nil
}

func checkOwners(s Span, groups map[api.GroupID]api.RegionID) error {
	for i, g := range s.Groups {
		if region, ok := groups[g]; !ok || g == ident.MetaGroup || region != s.Region || slices.Contains(s.Groups[:i], g) {
			return bad("group %q cannot own a part of range %v", g, s.Range)
		}
	}
	return nil
}

func bad(format string, args ...any) *api.Error { return api.Errorf(api.CodeInvalid, format, args...) }

// compareRanges orders ranges that do not overlap.
func compareRanges(a, b api.Range) int { return cmp.Compare(a.Start, b.Start) }
