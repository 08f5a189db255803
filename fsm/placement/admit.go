package placement

import (
	"crypto/subtle"

	"github.com/edgehold/edgehold/api"
)

// Admit lets a node in by a join token, and takes a use of it. Node has what the node says of itself and its one pin. A token for a
// known node gives that node the pin, in the place of all that it had. If a node of that id has that pin already, Admit does
// nothing, so that a node which did not hear the answer may ask again.
//
// CodeUnauthenticated if the token is unknown, has another secret or is spent; CodeDenied for a role, region or name that it does
// not allow; CodeConflict if the id or a name belongs to another node, or was a removed server's, or if the node's program is too
// old; CodeInvalid for a description that no node can have; CodeTooLarge at the limit of nodes. When a token ends, the leader judges
// before it proposes the command.
type Admit struct {
	Token TokenID `cbor:"1,keyasint"`
	Hash  []byte  `cbor:"2,keyasint"` // SHA-256 of the secret that the node has shown
	Node  Node    `cbor:"3,keyasint"`
	Level Level   `cbor:"4,keyasint,omitempty"` // the newest that the node's program knows
}

func (Admit) kind() byte { return kindAdmit }

func (s *state) admit(c Admit) (changes, error) {
	t, ok := s.Vault.Token(c.Token)
	if !ok || subtle.ConstantTimeCompare(t.Hash, c.Hash) != 1 {
		return nothing, NotValid()
	}
	if len(c.Node.Pins) != 1 {
		return nothing, bad("a node joins with one pin")
	}
	old, known := s.Map.Node(c.Node.ID)
	if known && old.Region == c.Node.Region && old.Role == c.Node.Role && old.HasPin(c.Node.Pins[0]) {
		return nothing, nil
	}
	if err := t.allows(c.Node); err != nil {
		return nothing, err
	}
	if err := s.admissible(c); err != nil {
		return nothing, err
	}
	s.Vault.take(t)
	if t.For != "" {
		return s.replacePins(c.Node)
	}
	n := c.Node
	n.Num, n.State, n.Until = 0, Active, 0
	n.Scope, n.NamePatterns, n.Ephemeral = t.Scope, t.Names, n.Role == api.RoleEdge && n.Ephemeral || t.Ephemeral
	if err := n.CheckNew(); err != nil {
		return nothing, err
	}
	if err := s.unused(n.ID); err != nil {
		return nothing, err
	}
	if err := s.Map.mayTake(n, n.Names); err != nil {
		return nothing, err
	}
	return ofMap | ofVault, s.Map.add(n)
}

// NotValid is the refusal of a join token, for whatever reason: a client does not learn why.
func NotValid() *api.Error {
	return api.Errorf(api.CodeUnauthenticated, "the join token is not valid any more: make one with \"edgehold cluster token create\"")
}

// allows returns nil if a node as described may join by the token.
func (t JoinToken) allows(n Node) error {
	switch {
	case t.Uses == 0:
		return NotValid()
	case t.Role != n.Role:
		return api.Errorf(api.CodeDenied, "the join token allows the role %s only, and this node is a %s", t.Role, n.Role)
	case t.Region != "" && t.Region != n.Region:
		return api.Errorf(api.CodeDenied, "the join token allows region %s only, and this node is in %s", t.Region, n.Region)
	case t.For != "" && t.For != n.ID:
		return api.Errorf(api.CodeDenied, "the join token is for node %s only, and this node is %s", t.For, n.ID)
	}
	return nil
}

// admissible checks what is the same for new nodes and known ones.
func (s *state) admissible(c Admit) error {
	if c.Level < s.Map.Level {
		return api.Errorf(api.CodeConflict, "node %s runs an older version: it knows level %d and must know level %d; upgrade it", c.Node.ID, c.Level, s.Map.Level)
	}
	return s.Map.freePin(c.Node.ID, c.Node.Pins[0])
}

// replacePins gives the node its new pin alone: a holder of an old key is not the node any more.
func (s *state) replacePins(n Node) (changes, error) {
	old, ok := s.Map.Node(n.ID)
	if !ok || old.Region != n.Region || old.Role != n.Role {
		return nothing, api.Errorf(api.CodeConflict, "the cluster has no %s %s in region %s: this join token is for a known node", n.Role, n.ID, n.Region)
	}
	changed, err := s.update(n.ID, func(n2 *Node) { n2.Pins = n.Pins })
	return changed | ofVault, err
}

// take takes a use of the token. v is a command's own copy.
func (v *Vault) take(t JoinToken) {
	if t.Uses != Unlimited {
		t.Uses--
	}
	v.put(t)
}

// PutJoinToken adds a join token; if there is one of its id, it does nothing. CodeTooLarge at the limit of tokens, CodeConflict if
// the cluster has no root to join by, CodeNotFound if the token is for a node that the cluster does not have.
type PutJoinToken struct {
	Token JoinToken `cbor:"1,keyasint"`
}

func (PutJoinToken) kind() byte { return kindPutJoinToken }

func (s *state) putJoinToken(c PutJoinToken) (changes, error) {
	if _, ok := s.Vault.Token(c.Token.ID); ok {
		return nothing, nil
	}
	if err := c.Token.Check(); err != nil {
		return nothing, err
	}
	switch {
	case len(s.Map.Roots) == 0:
		return nothing, PlainCluster()
	case len(s.Vault.Tokens) >= MaxJoinTokens:
		return nothing, api.Errorf(api.CodeTooLarge, "the cluster is at its limit of %d join tokens: revoke some", MaxJoinTokens)
	}
	if f := c.Token.For; f != "" {
		n, ok := s.Map.Node(f)
		if !ok {
			return nothing, noNode(f)
		}
		if n.Role != c.Token.Role {
			return nothing, api.Errorf(api.CodeConflict, "node %s is a %s", f, n.Role)
		}
	}
	s.Vault.put(c.Token)
	return ofVault, nil
}

// PlainCluster is the refusal of a join token in a cluster without TLS.
func PlainCluster() *api.Error {
	return api.Errorf(api.CodeConflict, "this cluster is plain: nodes join it without a token, and a token would be read on the way; see \"edgehold cluster set security\"")
}

// DropJoinToken removes a join token; if there is none of the id, it does nothing.
type DropJoinToken struct {
	ID TokenID `cbor:"1,keyasint"`
}

func (DropJoinToken) kind() byte { return kindDropJoinToken }

func (s *state) dropJoinToken(c DropJoinToken) (changes, error) {
	if !s.Vault.drop(c.ID) {
		return nothing, nil
	}
	return ofVault, nil
}
