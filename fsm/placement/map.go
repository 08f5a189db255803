package placement

import (
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

	// Level is the format that all nodes have agreed on. What follows needs LevelIdentity.
	Level Level `cbor:"8,keyasint,omitempty"`
	// Security says whether the port speaks TLS.
	Security Security `cbor:"9,keyasint,omitempty"`
	// Roots are the certificates (DER) to which those of nodes lead, newest first.
	Roots [][]byte `cbor:"10,keyasint,omitempty"`
	// NextNum is the number of the next node.
	NextNum uint32 `cbor:"11,keyasint,omitempty"`
	// Settings are those that are not as by default, by name.
	Settings map[string]string `cbor:"12,keyasint,omitempty"`
	// Retired are the ids of servers that were removed. No node can have them again.
	Retired []api.NodeID `cbor:"13,keyasint,omitempty"`
}

// Security says whether the port of a node speaks TLS.
type Security string

// The kinds of security.
const (
	Plain Security = ""     // it does not
	Both  Security = "both" // it takes either; a dialer uses TLS if the map has a pin for its target
	TLS   Security = "tls"  // it takes nothing else
)

// Limits of what makes nodes trust each other.
const (
	MaxRoots     = 4
	maxRootBytes = 4096
)

// Group is a Raft group as it should be.
type Group struct {
	ID     api.GroupID  `cbor:"1,keyasint"`
	Region api.RegionID `cbor:"2,keyasint,omitempty"` // "" of the meta group
	// Founder bootstraps the group's log; the other members join it. "" once it was removed.
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
		if len(s.Groups) > 1 && ident.OneShard(s.Range) {
			parts[i].Groups = []api.GroupID{s.Owner(s.Range.Start)}
		}
	}
	return parts
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
