package placement

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Bounds of what is remembered of nodes that were removed.
const (
	maxRetired = 65_536 // servers, for ever
	maxEdges   = 65_536 // the newest edges
)

// Retire removes a node for good: its pins, its places among the voters of groups, and its being the founder of one. Its id is
// kept, so that no other node can have it; repeated, Retire does nothing. CodeNotFound if no node has had the id; CodeConflict if it
// is the only voter of a group. The caller judges whether the groups keep a living majority. At is the version of the map on which that
// judgement rests: CodeConflict if the map has changed since, so that of two removals each of which is safe by itself only one is carried
// out. 0 is any version.
type Retire struct {
	Node api.NodeID `cbor:"1,keyasint"`
	At   uint64     `cbor:"2,keyasint,omitempty"`
}

func (Retire) kind() byte { return kindRetire }

func (s *state) retire(c Retire) (changes, error) {
	i := s.Map.index(c.Node)
	if i < 0 {
		if slices.Contains(s.Map.Retired, c.Node) || slices.Contains(s.Edges, c.Node) {
			return nothing, nil
		}
		return nothing, noNode(c.Node)
	}
	if c.At != 0 && c.At != s.Map.Version {
		return nothing, api.Errorf(api.CodeConflict, "the placement map has changed meanwhile: try again to remove %s", c.Node)
	}
	role := s.Map.Nodes[i].Role
	s.Map.Nodes = slices.Delete(slices.Clone(s.Map.Nodes), i, i+1)
	if role == api.RoleEdge {
		s.Edges = append(slices.Clone(s.Edges[max(len(s.Edges)-maxEdges+1, 0):]), c.Node)
		return ofMap | ofEdges, nil
	}
	if len(s.Map.Retired) >= maxRetired {
		return nothing, api.Errorf(api.CodeTooLarge, "the cluster is at its limit of %d removed servers", maxRetired)
	}
	s.Map.Retired = append(slices.Clone(s.Map.Retired), c.Node)
	return ofMap, s.Map.displace(c.Node)
}

// displace takes the node out of every group. m is the caller's own copy.
func (m *Map) displace(id api.NodeID) error {
	m.Groups = slices.Clone(m.Groups)
	for i := range m.Groups {
		g := &m.Groups[i]
		if g.Founder == id {
			g.Founder = ""
		}
		if !slices.Contains(g.Voters, id) {
			continue
		}
		g.Voters = slices.DeleteFunc(slices.Clone(g.Voters), func(v api.NodeID) bool { return v == id })
		if len(g.Voters) == 0 {
			return api.Errorf(api.CodeConflict, "node %q is the only voter of group %s: give its place to another server first", id, g.ID)
		}
	}
	return nil
}

func noNode(id api.NodeID) error {
	return api.Errorf(api.CodeNotFound, "the cluster has no node %q", id)
}

// SetState notes what an operator has ordered of a node. Until ends a drain: see [Node]. CodeNotFound if there is no such node.
type SetState struct {
	Node  api.NodeID `cbor:"1,keyasint"`
	State State      `cbor:"2,keyasint,omitempty"`
	Until int64      `cbor:"3,keyasint,omitempty"`
}

func (SetState) kind() byte { return kindSetState }

func (s *state) setState(c SetState) (changes, error) {
	return s.update(c.Node, func(n *Node) { n.State, n.Until = c.State, c.Until })
}

// update changes one node.
func (s *state) update(id api.NodeID, change func(*Node)) (changes, error) {
	i := s.Map.index(id)
	if i < 0 {
		return nothing, noNode(id)
	}
	n := s.Map.Nodes[i]
	change(&n)
	if err := n.Check(); err != nil {
		return nothing, err
	}
	return mapIf(s.Map.replace(i, n), nil)
}

// Place says which voters a group is to have. Was are those on which the caller's judgement rests: CodeConflict if the group wants
// others by now, so that of two judgements only one is carried out. Repeated, it does nothing. CodeInvalid for a voter that is not a
// server of the group's region, or of any region if it is the meta group.
type Place struct {
	Group  api.GroupID  `cbor:"1,keyasint"`
	Voters []api.NodeID `cbor:"2,keyasint"`
	Was    []api.NodeID `cbor:"3,keyasint"`
}

func (Place) kind() byte { return kindPlace }

// maxVoters bounds the voters of a group: one more than five while one is replaced.
const maxVoters = 6

func (s *state) place(c Place) (changes, error) {
	i := slices.IndexFunc(s.Map.Groups, func(g Group) bool { return g.ID == c.Group })
	if i < 0 {
		return nothing, api.Errorf(api.CodeNotFound, "the cluster has no group %q", c.Group)
	}
	g := s.Map.Groups[i]
	switch {
	case slices.Equal(g.Voters, c.Voters):
		return nothing, nil
	case !slices.Equal(g.Voters, c.Was):
		return nothing, api.Errorf(api.CodeConflict, "group %s has got other voters meanwhile: %v", c.Group, g.Voters)
	case len(c.Voters) > maxVoters:
		return nothing, bad("group %s can have at most %d voters", c.Group, maxVoters)
	}
	g.Voters = c.Voters
	if err := s.Map.checkVoters(g); err != nil {
		return nothing, err
	}
	s.Map.Groups = slices.Clone(s.Map.Groups)
	s.Map.Groups[i] = g
	return ofMap, nil
}

// Touch notes what a node says of itself: where it is reached, its process, its machine, and the names under which it serves
// clients. It replaces them all. CodeNotFound if there is no such node, CodeConflict if a name belongs to another node, CodeDenied if
// the edge may not have it. How often a node may do so, the leader of the meta group judges.
type Touch struct {
	Node    api.NodeID  `cbor:"1,keyasint"`
	Address string      `cbor:"2,keyasint,omitempty"`
	URL     string      `cbor:"3,keyasint,omitempty"`
	Nonce   ident.Nonce `cbor:"4,keyasint,omitzero"`
	Host    string      `cbor:"5,keyasint,omitempty"`
	Names   []string    `cbor:"6,keyasint,omitempty"`
}

func (Touch) kind() byte { return kindTouch }

func (s *state) touch(c Touch) (changes, error) {
	n, ok := s.Map.Node(c.Node)
	if !ok {
		return nothing, noNode(c.Node)
	}
	n.Address, n.URL = c.Address, c.URL
	if err := n.CheckAddresses(); err != nil {
		return nothing, err
	}
	if err := s.Map.mayTake(n, c.Names); err != nil {
		return nothing, err
	}
	return s.update(c.Node, func(n *Node) {
		n.Address, n.URL, n.Nonce, n.Host, n.Names = c.Address, c.URL, c.Nonce, c.Host, c.Names
	})
}

// mayTake returns nil if the node may have the names: CodeDenied if it is an edge whose join token does not allow one, CodeConflict
// if another node has one.
func (m *Map) mayTake(n Node, names []string) error {
	for _, name := range names {
		if !n.MayBeNamed(name) {
			return api.Errorf(api.CodeDenied, "the token does not allow the name %s: make one with --names", name)
		}
		for _, o := range m.Nodes {
			if o.ID != n.ID && !isAddress(name) && slices.Contains(o.Names, name) {
				return api.Errorf(api.CodeConflict, "the name %s belongs to node %q", name, o.ID)
			}
		}
	}
	return nil
}
