package placement

import (
	"cmp"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Map is the placement map. A Map that was returned never changes: callers may share it.
type Map struct {
	// ClusterID names the cluster and never changes; maps of different clusters are never mixed.
	ClusterID string `cbor:"1,keyasint"`
	// Version rises by one with each change.
	Version uint64 `cbor:"2,keyasint"`
	// GroupsPerRegion is how many groups a region founds.
	GroupsPerRegion int `cbor:"3,keyasint"`
	// Voters is how many voters a group wants: 3 or 5.
	Voters int `cbor:"4,keyasint"`
	// Nodes are in the order in which they joined; IDs are unique.
	Nodes []Node `cbor:"5,keyasint,omitempty"`
	// Groups: the meta group, and the groups of each region in order of shard.
	Groups []Group `cbor:"6,keyasint,omitempty"`
	// Ranges cover every key once, in key order.
	Ranges []Span `cbor:"7,keyasint,omitempty"`
}

// Node is a process of the cluster.
type Node struct {
	ID      api.NodeID   `cbor:"1,keyasint"`
	Region  api.RegionID `cbor:"2,keyasint"`
	Role    api.Role     `cbor:"3,keyasint"`
	Address string       `cbor:"4,keyasint,omitempty"` // HOST:PORT of its one port
	URL     string       `cbor:"5,keyasint,omitempty"` // of its HTTP API
}

// Group is a Raft group as it should be.
type Group struct {
	ID     api.GroupID  `cbor:"1,keyasint"`
	Region api.RegionID `cbor:"2,keyasint,omitempty"` // "" of the meta group
	// Founder bootstraps the group's log; the other members join it.
	Founder api.NodeID `cbor:"3,keyasint"`
	// Voters are the members that the group is to have in the end, the founder's choice of order first.
	Voters []api.NodeID `cbor:"4,keyasint,omitempty"`
}

// Span is a range of keys and its owners: the key belongs to Groups[ident.ShardOf(key, len(Groups))].
type Span struct {
	Range  api.Range     `cbor:"1,keyasint"`
	Epoch  uint64        `cbor:"2,keyasint"` // rises with each change of owner
	Region api.RegionID  `cbor:"3,keyasint"`
	Groups []api.GroupID `cbor:"4,keyasint"`
}

// Owned is a group's part of a span: the keys of Range whose ident.ShardOf(key, Of) is Index.
type Owned struct {
	Range api.Range `cbor:"1,keyasint"`
	Epoch uint64    `cbor:"2,keyasint"`
	Index uint32    `cbor:"3,keyasint,omitempty"`
	Of    uint32    `cbor:"4,keyasint"`
}

// Node returns the node with that id.
func (m *Map) Node(id api.NodeID) (Node, bool) {
	i := slices.IndexFunc(m.Nodes, func(n Node) bool { return n.ID == id })
	if i < 0 {
		return Node{}, false
	}
	return m.Nodes[i], true
}

// Group returns the group with that id.
func (m *Map) Group(id api.GroupID) (Group, bool) {
	i := slices.IndexFunc(m.Groups, func(g Group) bool { return g.ID == id })
	if i < 0 {
		return Group{}, false
	}
	return m.Groups[i], true
}

// GroupsOf returns the groups of a region, in order of shard; none if the region has no server.
func (m *Map) GroupsOf(r api.RegionID) []api.GroupID {
	var ids []api.GroupID
	for _, g := range m.Groups {
		if g.Region == r && g.ID != ident.MetaGroup {
			ids = append(ids, g.ID)
		}
	}
	return ids
}

// VotersAt returns the groups that want a voter at the node.
func (m *Map) VotersAt(n api.NodeID) []api.GroupID {
	var ids []api.GroupID
	for _, g := range m.Groups {
		if slices.Contains(g.Voters, n) {
			ids = append(ids, g.ID)
		}
	}
	return ids
}

// Locate returns the group that owns the key, and the epoch of its range; ok is false if the map names none.
func (m *Map) Locate(k api.Key) (g api.GroupID, epoch uint64, ok bool) {
	s, ok := m.Span(k)
	if !ok {
		return "", 0, false
	}
	return s.Owner(k), s.Epoch, true
}

// Span returns the span that covers k; false if no group owns it.
func (m *Map) Span(k api.Key) (Span, bool) {
	// The first span that starts above k follows the one that may cover it.
	i, found := slices.BinarySearchFunc(m.Ranges, k, func(s Span, k api.Key) int { return strings.Compare(string(s.Range.Start), string(k)) })
	if !found {
		i--
	}
	if i < 0 || !m.Ranges[i].Range.Contains(k) || len(m.Ranges[i].Groups) == 0 {
		return Span{}, false
	}
	return m.Ranges[i], true
}

// Owner is the group of the span that owns k, which the span covers.
func (s Span) Owner(k api.Key) api.GroupID {
	if len(s.Groups) == 1 {
		return s.Groups[0]
	}
	return s.Groups[ident.ShardOf(k, uint32(len(s.Groups)))]
}

// Spans cuts a range into the parts of its spans, in key order.
func (m *Map) Spans(r api.Range) []Span {
	var parts []Span
	for _, s := range m.Ranges {
		if x, ok := s.Range.Intersect(r); ok {
			s.Range = x
			parts = append(parts, s)
		}
	}
	return parts
}

// Scan cuts a range as Spans does, but names in each part only the groups that can have a key of it: all groups of the
// span, or the one that has all keys of the part.
func (m *Map) Scan(r api.Range) []Span {
	parts := m.Spans(r)
	for i, s := range parts {
		if len(s.Groups) > 1 && oneShard(s.Range) {
			parts[i].Groups = []api.GroupID{s.Owner(s.Range.Start)}
		}
	}
	return parts
}

// oneShard reports whether all keys of the range certainly fall into one shard: they share their first two segments.
func oneShard(r api.Range) bool {
	slashes := 0
	for i := range len(r.Start) {
		if r.Start[i] != '/' {
			continue
		}
		if slashes++; slashes == 2 {
			return api.PrefixRange(r.Start[:i+1]).ContainsRange(r)
		}
	}
	return false
}

// Owned lists what the group owns, in key order: what a group is founded with.
func (m *Map) Owned(g api.GroupID) []Owned {
	var all []Owned
	for _, s := range m.Ranges {
		if i := slices.Index(s.Groups, g); i >= 0 {
			all = append(all, s.Part(i))
		}
	}
	return all
}

// Part is what the span's group with that index owns of it.
func (s Span) Part(i int) Owned {
	return Owned{Range: s.Range, Epoch: s.Epoch, Index: uint32(i), Of: uint32(len(s.Groups))}
}

// Status lists the ranges for people: one row for each owner of each span.
func (m *Map) Status() []api.RangeStatus {
	var rows []api.RangeStatus
	for _, s := range m.Ranges {
		for _, g := range s.Groups {
			rows = append(rows, api.RangeStatus{Start: s.Range.Start, End: s.Range.End, Group: g, Epoch: s.Epoch})
		}
	}
	return rows
}

// Check returns the first contradiction in the map; nil if a machine may hold it.
func (m *Map) Check() error {
	if m.ClusterID == "" || m.Voters < 1 || m.GroupsPerRegion < 1 {
		return bad("a placement map needs a cluster id, voters and groups")
	}
	if err := m.checkNodes(); err != nil {
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

func (m *Map) checkVoters(g Group) error {
	voters := slices.Clone(g.Voters)
	slices.Sort(voters)
	if len(slices.Compact(voters)) != len(g.Voters) || len(g.Voters) == 0 {
		return bad("group %q has no voter, or one twice", g.ID)
	}
	for _, v := range append(voters, g.Founder) {
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

// Check returns what is wrong with the node's description; nil if nothing is.
func (n Node) Check() error {
	switch {
	case !isName(string(n.ID)):
		return bad("a node needs an id of 1 to %d bytes without slashes", MaxNameBytes)
	case !isName(string(n.Region)):
		return bad("node %q needs a region of 1 to %d bytes without slashes", n.ID, MaxNameBytes)
	case n.Role != api.RoleServer && n.Role != api.RoleEdge:
		return bad("node %q is a server or an edge, not %q", n.ID, n.Role)
	case len(n.Address) > 512 || len(n.URL) > 512:
		return bad("the address of node %q is over the limit of 512 bytes", n.ID)
	}
	return nil
}

// MaxNameBytes bounds the names of nodes and regions. They stand in the names of folders and of lanes between nodes.
const MaxNameBytes = 100

func isName(s string) bool {
	return s != "" && len(s) <= MaxNameBytes && !strings.ContainsAny(s, "/\\\x00")
}

func bad(format string, args ...any) *api.Error { return api.Errorf(api.CodeInvalid, format, args...) }

// compareRanges orders ranges that do not overlap.
func compareRanges(a, b api.Range) int { return cmp.Compare(a.Start, b.Start) }
