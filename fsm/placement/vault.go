package placement

import (
	"slices"

	"github.com/edgehold/edgehold/api"
)

// Limits of the vault.
const (
	MaxJoinTokens = 1024
	maxCAKeyBytes = 4096
)

// Unlimited is the number of uses of a join token that is not spent.
const Unlimited = -1

// Vault is what only the voters of the meta group keep: it stands in their logs and snapshots, and in no map, roll, poll or report.
// A Vault that was returned never changes.
type Vault struct {
	// CAKey is the private key of the newest root (PKCS #8, DER).
	CAKey []byte `cbor:"1,keyasint,omitempty"`
	// Tokens are in order of id.
	Tokens []JoinToken `cbor:"2,keyasint,omitempty"`
}

// JoinToken lets nodes join the cluster.
type JoinToken struct {
	ID   TokenID  `cbor:"1,keyasint"`
	Hash []byte   `cbor:"2,keyasint"` // SHA-256 of the secret
	Role api.Role `cbor:"3,keyasint"`
	// Region is the only region in which nodes may join; "" is any.
	Region api.RegionID `cbor:"4,keyasint,omitempty"`
	// Ends is when the token ends, in Unix seconds by the clock of the leader that proposed it; 0 is never.
	Ends int64 `cbor:"5,keyasint,omitempty"`
	// Uses is how many nodes may still join; Unlimited, or 0 if it is spent.
	Uses int64 `cbor:"6,keyasint,omitempty"`
	// Names are the patterns of the names under which an edge may serve; see [Node.NamePatterns].
	Names []string `cbor:"7,keyasint,omitempty"`
	// Scope has the prefixes that an edge serves; none is every key.
	Scope []api.Key `cbor:"8,keyasint,omitempty"`
	// For is the known node that gets a new pin by this token; "" if it is for new nodes.
	For       api.NodeID `cbor:"9,keyasint,omitempty"`
	Ephemeral bool       `cbor:"10,keyasint,omitempty"` // edges that join are removed when they are gone
	By        string     `cbor:"11,keyasint,omitempty"` // the principal that made it
	Made      int64      `cbor:"12,keyasint,omitempty"` // Unix seconds
}

// Token returns the join token with that id.
func (v *Vault) Token(id TokenID) (JoinToken, bool) {
	i, ok := slices.BinarySearchFunc(v.Tokens, id, func(t JoinToken, id TokenID) int { return compareIDs(t.ID, id) })
	if !ok {
		return JoinToken{}, false
	}
	return v.Tokens[i], true
}

// Put adds the token to a vault that is not used yet.
func (v *Vault) Put(t JoinToken) { v.put(t) }

// put adds the token or replaces the one of its id. v is a command's own copy.
func (v *Vault) put(t JoinToken) {
	v.Tokens = put(v.Tokens, t, func(a, b JoinToken) int { return compareIDs(a.ID, b.ID) })
}

// drop removes the token, and reports whether there was one. v is a command's own copy.
func (v *Vault) drop(id TokenID) bool {
	n := len(v.Tokens)
	v.Tokens = without(v.Tokens, func(t JoinToken) bool { return t.ID == id })
	return len(v.Tokens) < n
}

// Check returns the first contradiction in the vault; nil if a machine may hold it.
func (v *Vault) Check() error {
	if len(v.CAKey) > maxCAKeyBytes || len(v.Tokens) > MaxJoinTokens {
		return bad("the vault has a key of more than %d bytes, or more than %d join tokens", maxCAKeyBytes, MaxJoinTokens)
	}
	for i, t := range v.Tokens {
		if err := t.Check(); err != nil {
			return err
		}
		if i > 0 && compareIDs(v.Tokens[i-1].ID, t.ID) >= 0 {
			return bad("join token %v is not in its place in the vault", t.ID)
		}
	}
	return nil
}

// Check returns what is wrong with the token; nil if nothing is.
func (t JoinToken) Check() error {
	switch {
	case len(t.Hash) != tokenHashBytes:
		return bad("join token %v has a hash of %d bytes, not %d", t.ID, len(t.Hash), tokenHashBytes)
	case t.Ends < 0 || t.Made < 0 || t.Uses < Unlimited:
		return bad("join token %v has a time before 1970, or a number of uses that cannot be", t.ID)
	case t.Region != "" && !isName(string(t.Region)):
		return bad("join token %v has a region that cannot be", t.ID)
	case t.For != "" && !isName(string(t.For)):
		return bad("join token %v is for a node that cannot be", t.ID)
	case len(t.By) > maxByBytes:
		return bad("join token %v was made by a name of more than %d bytes", t.ID, maxByBytes)
	}
	// What the token gives to a node must be what a node can have.
	n := Node{ID: "n", Region: "r", Role: t.Role, Scope: t.Scope, NamePatterns: t.Names, Ephemeral: t.Ephemeral}
	return n.Check()
}
