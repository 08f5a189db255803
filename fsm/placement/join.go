package placement

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Join registers a node or updates its addresses, and gives a new server its places among the voters. CodeConflict if
// the id belongs to a node of another region or role, or to a node that was removed; CodeDenied if the cluster takes new nodes by
// join token only. From LevelIdentity on, a new node gets the next number; of the other fields that need that level Join takes
// Nonce, Host and Ephemeral, and an old node keeps its own.
type Join struct {
	Node Node `cbor:"1,keyasint"`
}

func (Join) kind() byte { return kindJoin }

func (s *state) join(c Join) (changes, error) {
	if s.Map.Level < LevelIdentity {
		return mapIf(s.Map.join(c.Node))
	}
	n := Node{
		ID: c.Node.ID, Region: c.Node.Region, Role: c.Node.Role, Address: c.Node.Address, URL: c.Node.URL,
		Nonce: c.Node.Nonce, Host: c.Node.Host, Ephemeral: c.Node.Ephemeral,
	}
	if _, known := s.Map.Node(n.ID); !known {
		if s.Map.Security == TLS {
			return nothing, api.Errorf(api.CodeDenied, "this cluster takes new nodes by join token only: make one with \"edgehold cluster token create\"")
		}
		if err := s.unused(n.ID); err != nil {
			return nothing, err
		}
	}
	return mapIf(s.Map.join(n))
}

// mapIf is the result of a command that changes the map alone.
func mapIf(changed bool, err error) (changes, error) {
	if err != nil || !changed {
		return nothing, err
	}
	return ofMap, nil
}

// unused returns nil if no node has had the id. The id of an edge may be used again when it is long gone.
func (s *state) unused(id api.NodeID) error {
	if _, known := s.Map.Node(id); known || slices.Contains(s.Map.Retired, id) || slices.Contains(s.Edges, id) {
		return api.Errorf(api.CodeConflict, "node id %q was used before; give this node another id", id)
	}
	return nil
}

// join registers a node, or updates its addresses, and gives it its places among the voters. It reports whether anything
// changed. m is the caller's own copy; on error it is not to be used.
func (m *Map) join(n Node) (changed bool, err error) {
	if err := n.Check(); err != nil {
		return false, err
	}
	if i := m.index(n.ID); i >= 0 {
		old := m.Nodes[i]
		if old.Region != n.Region || old.Role != n.Role {
			return false, api.Errorf(api.CodeConflict,
				"node id %q belongs to a %s of region %q; give this node another id", n.ID, old.Role, old.Region)
		}
		next := old
		next.Address, next.URL = n.Address, n.URL
		if n.Nonce != (ident.Nonce{}) {
			next.Nonce = n.Nonce
		}
		if n.Host != "" {
			next.Host = n.Host
		}
		return m.replace(i, next), nil
	}
	if m.Level >= LevelIdentity {
		if err := n.CheckNew(); err != nil {
			return false, err
		}
	}
	return true, m.add(n)
}

// add registers a new node, which has been checked, and gives it its number and its places. m is the caller's own copy.
func (m *Map) add(n Node) error {
	if len(m.Nodes) >= MaxNodes {
		return api.Errorf(api.CodeTooLarge, "the cluster is at its limit of %d nodes", MaxNodes)
	}
	if m.Level >= LevelIdentity {
		if err := m.number(&n); err != nil {
			return err
		}
	}
	m.Nodes = append(slices.Clone(m.Nodes), n)
	if n.Role != api.RoleServer {
		return nil
	}
	return m.place(n)
}

// index returns the place of the node in Nodes; -1 if the map does not have it.
func (m *Map) index(id api.NodeID) int {
	return slices.IndexFunc(m.Nodes, func(n Node) bool { return n.ID == id })
}

// replace puts the node's description in place of the old one, and reports whether it differs. m is the caller's own copy.
func (m *Map) replace(i int, n Node) (changed bool) {
	if m.Nodes[i].Equal(n) {
		return false
	}
	m.Nodes = slices.Clone(m.Nodes)
	m.Nodes[i] = n
	return true
}
