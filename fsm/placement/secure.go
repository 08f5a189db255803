package placement

import (
	"slices"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// Secure sets whether the ports of the cluster speak TLS. The first time it gives the cluster its root and the CA's key; a cluster
// that has a root keeps it. CodeConflict if a step would be left out, if TLS alone would shut out a node that has no pin, or if a
// way back is not forced; repeated, it does nothing.
type Secure struct {
	Security Security `cbor:"1,keyasint,omitempty"`
	// Root is a certificate (DER), and Key the private key of its CA (PKCS #8, DER).
	Root []byte `cbor:"2,keyasint,omitempty"`
	Key  []byte `cbor:"3,keyasint,omitempty"`
	// Force allows a way back, after which the ports take connections that prove nothing.
	Force bool `cbor:"4,keyasint,omitempty"`
}

func (Secure) kind() byte { return kindSecure }

// strength orders the kinds of security.
var strength = map[Security]int{Plain: 0, Both: 1, TLS: 2}

func (s *state) secure(c Secure) (changes, error) {
	to, ok := strength[c.Security]
	from := strength[s.Map.Security]
	switch {
	case !ok:
		return nothing, bad("the security of a cluster is plain, both or tls, not %q", c.Security)
	case to == from:
		return nothing, nil
	case to > from+1:
		return nothing, api.Errorf(api.CodeConflict, "a plain cluster becomes \"both\" first, and \"tls\" when every node has its certificate")
	case to < from && !c.Force:
		return nothing, api.Errorf(api.CodeConflict, "from %q to %q, anyone who reaches the ports could pose as a node: give --force if that is what you want", s.Map.Security, c.Security)
	}
	changed := ofMap
	if len(s.Map.Roots) == 0 {
		if len(c.Root) == 0 || len(c.Key) == 0 {
			return nothing, bad("a cluster with TLS needs a root certificate and its key")
		}
		s.Map.Roots, s.Vault.CAKey = [][]byte{c.Root}, c.Key
		changed |= ofVault
	}
	if missing := s.Map.unpinned(); c.Security == TLS && len(missing) > 0 {
		return nothing, api.Errorf(api.CodeConflict, "these nodes have no certificate yet and would be shut out: %s", strings.Join(missing, ", "))
	}
	s.Map.Security = c.Security
	s.Map.setScheme()
	if err := s.Map.checkTrust(); err != nil {
		return nothing, err
	}
	return changed, s.Vault.Check()
}

// setScheme makes the URLs at the ports of nodes those of the cluster's security. m is the caller's own copy.
func (m *Map) setScheme() {
	from, to := "https://", "http://"
	if m.Security == TLS {
		from, to = to, from
	}
	m.Nodes = slices.Clone(m.Nodes)
	for i, n := range m.Nodes {
		if n.URL == from+n.Address {
			m.Nodes[i].URL = to + n.Address
		}
	}
}

// unpinned names the nodes that have no pin.
func (m *Map) unpinned() []string {
	var ids []string
	for _, n := range m.Nodes {
		if len(n.Pins) == 0 {
			ids = append(ids, string(n.ID))
		}
	}
	slices.Sort(ids)
	return ids
}

// Rekey gives a node a new pin, beside the newest of those that it has, and sets its names. With Drop the new pin, which the node
// must have already, becomes its only one. CodeNotFound if there is no such node, CodeConflict if another node has the pin or one
// of the names, CodeDenied if the edge may not have a name; repeated, it does nothing. Only the node itself may ask for it.
type Rekey struct {
	Node  api.NodeID `cbor:"1,keyasint"`
	Pin   []byte     `cbor:"2,keyasint"`
	Names []string   `cbor:"3,keyasint,omitempty"`
	Drop  bool       `cbor:"4,keyasint,omitempty"`
}

func (Rekey) kind() byte { return kindRekey }

func (s *state) rekey(c Rekey) (changes, error) {
	n, ok := s.Map.Node(c.Node)
	switch {
	case !ok:
		return nothing, noNode(c.Node)
	case c.Drop && !n.HasPin(c.Pin):
		return nothing, api.Errorf(api.CodeConflict, "node %q does not have the key that is to be its only one", c.Node)
	case c.Drop:
		return s.update(c.Node, func(n *Node) { n.Pins = [][]byte{c.Pin} })
	}
	if err := s.Map.freePin(c.Node, c.Pin); err != nil {
		return nothing, err
	}
	if err := s.Map.mayTake(n, c.Names); err != nil {
		return nothing, err
	}
	return s.update(c.Node, func(n *Node) {
		if !n.HasPin(c.Pin) {
			n.Pins = append([][]byte{c.Pin}, n.Pins[:min(len(n.Pins), maxPins-1)]...)
		}
		n.Names = c.Names
	})
}

// freePin returns CodeConflict if a node other than id has the pin.
func (m *Map) freePin(id api.NodeID, pin []byte) error {
	for _, o := range m.Nodes {
		if o.ID != id && o.HasPin(pin) {
			return api.Errorf(api.CodeConflict, "node %q has this key already: every node makes a key of its own", o.ID)
		}
	}
	return nil
}
