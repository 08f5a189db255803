package placement

import (
	"cmp"
	"encoding/hex"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// Limits of the roll.
const (
	MaxTokens           = 4096
	MaxPolicies         = 1024
	MaxPolicyRules      = 64
	MaxTokenPolicies    = 16
	MaxPrincipalRules   = 256 // of all policies of one token
	MaxTokenPlaces      = 64  // regions and nodes at which a token is valid
	maxHashes           = 2
	maxDropped          = 1024
	maxRollNameBytes    = MaxNewNameBytes
	maxByBytes          = 255
	tokenHashBytes      = 32 // SHA-256
	maxPolicyRulesBytes = 16 << 10
	// MaxRollBytes bounds all of the roll: every node has a copy of it.
	MaxRollBytes = 4 << 20
)

// Roll has the tokens and policies of clients. Every node gets it beside the map, with a revision of its own. A Roll that was returned never
// changes: callers may share it. It has hashes of secrets, never secrets.
type Roll struct {
	// Revision rises by one with each change.
	Revision uint64 `cbor:"1,keyasint,omitempty"`
	// Policies are in order of name, Tokens in order of id.
	Policies []Policy      `cbor:"2,keyasint,omitempty"`
	Tokens   []AccessToken `cbor:"3,keyasint,omitempty"`
	// Dropped are the records that were removed last, the oldest first: at most 1,024. Forgotten is the revision of the newest
	// that is not among them.
	Dropped   []Dropped `cbor:"4,keyasint,omitempty"`
	Forgotten uint64    `cbor:"5,keyasint,omitempty"`
}

// Policy is a named set of rights, which only add up.
type Policy struct {
	Name  string `cbor:"1,keyasint"`
	Rules []Rule `cbor:"2,keyasint,omitempty"`
	// Observe, Operate and Admin are rights on the cluster; none of them gives a right on keys.
	Observe bool `cbor:"3,keyasint,omitempty"`
	Operate bool `cbor:"4,keyasint,omitempty"`
	Admin   bool `cbor:"5,keyasint,omitempty"`
	// Audit says that access to keys by this policy is written to the audit log.
	Audit bool `cbor:"6,keyasint,omitempty"`
	// Revision is that of the roll at the policy's last change.
	Revision uint64 `cbor:"7,keyasint"`
	By       string `cbor:"8,keyasint,omitempty"` // the principal that set it
}

// Rule gives rights on the keys with a prefix.
type Rule struct {
	Prefix api.Key `cbor:"1,keyasint,omitempty"`
	Read   bool    `cbor:"2,keyasint,omitempty"`
	List   bool    `cbor:"3,keyasint,omitempty"`
	Write  bool    `cbor:"4,keyasint,omitempty"`
}

// TokenID names an access token or a join token. It is no secret.
type TokenID [8]byte

func (id TokenID) String() string { return hex.EncodeToString(id[:]) }

// AccessToken is what a cluster knows of a client's token.
type AccessToken struct {
	ID   TokenID `cbor:"1,keyasint"`
	Name string  `cbor:"2,keyasint"`
	// Hashes are SHA-256 of the secrets that are accepted, newest first: two while the token is rotated.
	Hashes [][]byte `cbor:"3,keyasint"`
	// Keep is when the second secret ends, in Unix seconds by the clock of the leader that proposed it; 0 is never.
	Keep     int64    `cbor:"4,keyasint,omitempty"`
	Policies []string `cbor:"5,keyasint,omitempty"`
	// At are the regions and nodes at which the token is valid; none is everywhere.
	At []string `cbor:"6,keyasint,omitempty"`
	// Ends is when the token ends, in Unix seconds by the clock of the leader that proposed it; 0 is never.
	Ends int64 `cbor:"7,keyasint,omitempty"`
	// Ops and Bytes bound what the token may do in a second at one node; 0 is no bound.
	Ops   uint64 `cbor:"8,keyasint,omitempty"`
	Bytes uint64 `cbor:"9,keyasint,omitempty"`
	By    string `cbor:"10,keyasint,omitempty"` // the principal that made it
	Made  int64  `cbor:"11,keyasint,omitempty"` // Unix seconds
	// Revision is that of the roll at the token's last change.
	Revision uint64 `cbor:"12,keyasint"`
}

// Dropped is a record that was removed: a policy or a token.
type Dropped struct {
	Policy   string   `cbor:"1,keyasint,omitempty"`
	Token    *TokenID `cbor:"2,keyasint,omitempty"`
	Revision uint64   `cbor:"3,keyasint"`
}

// Policy returns the policy with that name.
func (r *Roll) Policy(name string) (Policy, bool) {
	i, ok := slices.BinarySearchFunc(r.Policies, name, func(p Policy, name string) int { return cmp.Compare(p.Name, name) })
	if !ok {
		return Policy{}, false
	}
	return r.Policies[i], true
}

// Token returns the token with that id.
func (r *Roll) Token(id TokenID) (AccessToken, bool) {
	i, ok := slices.BinarySearchFunc(r.Tokens, id, func(t AccessToken, id TokenID) int { return compareIDs(t.ID, id) })
	if !ok {
		return AccessToken{}, false
	}
	return r.Tokens[i], true
}

// revision is that of a roll which may be missing.
func (r *Roll) revision() uint64 {
	if r == nil {
		return 0
	}
	return r.Revision
}

// The next methods change a command's own copy of the roll, and mark what they change with the revision that the roll will have.

// putPolicy adds the policy or replaces the one of its name.
func (r *Roll) putPolicy(p Policy) {
	p.Revision = r.Revision + 1
	r.Policies = put(r.Policies, p, comparePolicies)
}

// putToken adds the token or replaces the one of its id.
func (r *Roll) putToken(t AccessToken) {
	t.Revision = r.Revision + 1
	r.Tokens = put(r.Tokens, t, compareTokens)
}

// dropPolicy removes the policy, and reports whether there was one.
func (r *Roll) dropPolicy(name string) bool {
	n := len(r.Policies)
	r.Policies = without(r.Policies, func(p Policy) bool { return p.Name == name })
	if len(r.Policies) == n {
		return false
	}
	r.drop(Dropped{Policy: name})
	return true
}

// dropToken removes the token, and reports whether there was one.
func (r *Roll) dropToken(id TokenID) bool {
	n := len(r.Tokens)
	r.Tokens = without(r.Tokens, func(t AccessToken) bool { return t.ID == id })
	if len(r.Tokens) == n {
		return false
	}
	r.drop(Dropped{Token: &id})
	return true
}

func (r *Roll) drop(d Dropped) {
	d.Revision = r.Revision + 1
	r.Dropped = append(slices.Clone(r.Dropped), d)
	for len(r.Dropped) > maxDropped {
		r.Forgotten = r.Dropped[0].Revision
		r.Dropped = r.Dropped[1:]
	}
}

// put returns the sorted records with x in its place. The slice is replaced.
func put[T any](all []T, x T, compare func(a, b T) int) []T {
	i, found := slices.BinarySearchFunc(all, x, compare)
	if all = slices.Clone(all); found {
		all[i] = x
		return all
	}
	return slices.Insert(all, i, x)
}

func compareIDs(a, b TokenID) int { return slices.Compare(a[:], b[:]) }

// Check returns the first contradiction in the roll; nil if a machine may hold it.
func (r *Roll) Check() error {
	if len(r.Policies) > MaxPolicies || len(r.Tokens) > MaxTokens || len(r.Dropped) > maxDropped || r.Forgotten > r.Revision {
		return bad("the roll has more than %d policies, %d tokens or %d dropped ids", MaxPolicies, MaxTokens, maxDropped)
	}
	for i, p := range r.Policies {
		if err := p.Check(); err != nil {
			return err
		}
		if p.Revision > r.Revision || i > 0 && r.Policies[i-1].Name >= p.Name {
			return bad("policy %q is not in its place in the roll", p.Name)
		}
	}
	for i, t := range r.Tokens {
		if err := t.Check(); err != nil {
			return err
		}
		if t.Revision > r.Revision || i > 0 && compareIDs(r.Tokens[i-1].ID, t.ID) >= 0 {
			return bad("token %v is not in its place in the roll", t.ID)
		}
	}
	last := r.Forgotten
	for _, d := range r.Dropped {
		if d.Revision <= last || d.Revision > r.Revision || (d.Policy == "") == (d.Token == nil) {
			return bad("the roll has a dropped record that is not in its place")
		}
		last = d.Revision
	}
	return nil
}

// Check returns what is wrong with the policy; nil if nothing is.
func (p Policy) Check() error {
	size := 0
	for _, r := range p.Rules {
		size += len(r.Prefix)
		if len(r.Prefix) > api.MaxKeyBytes || !r.Read && !r.List && !r.Write {
			return bad("policy %q has a rule with no right, or with a prefix over the limit of %d bytes", p.Name, api.MaxKeyBytes)
		}
	}
	switch {
	case !IsNodeName(p.Name):
		return bad("policy %q: use 1 to %d letters, digits, dots, dashes and underscores, with a letter or digit at both ends", p.Name, maxRollNameBytes)
	case len(p.Rules) > MaxPolicyRules || size > maxPolicyRulesBytes:
		return bad("policy %q is over the limit of %d rules of %d bytes together", p.Name, MaxPolicyRules, maxPolicyRulesBytes)
	case len(p.By) > maxByBytes:
		return bad("policy %q was made by a name of more than %d bytes", p.Name, maxByBytes)
	}
	return nil
}

// Check returns what is wrong with the token; nil if nothing is.
func (t AccessToken) Check() error {
	switch {
	case !IsNodeName(t.Name):
		return bad("token %q: use 1 to %d letters, digits, dots, dashes and underscores, with a letter or digit at both ends", t.Name, maxRollNameBytes)
	case len(t.Hashes) == 0 || len(t.Hashes) > maxHashes || slices.ContainsFunc(t.Hashes, func(h []byte) bool { return len(h) != tokenHashBytes }):
		return bad("token %q has one or two hashes of %d bytes", t.Name, tokenHashBytes)
	case len(t.Policies) > MaxTokenPolicies || slices.ContainsFunc(t.Policies, func(p string) bool { return !IsNodeName(p) }):
		return bad("token %q has more than %d policies, or one that cannot be", t.Name, MaxTokenPolicies)
	case len(t.At) > MaxTokenPlaces || slices.ContainsFunc(t.At, func(p string) bool { return !isName(p) }):
		return bad("token %q is valid at more than %d places, or at one that cannot be", t.Name, MaxTokenPlaces)
	case t.Keep < 0 || t.Ends < 0 || t.Made < 0 || len(t.Hashes) == 1 && t.Keep != 0:
		return bad("token %q has a time before 1970, or keeps an older secret that it does not have", t.Name)
	case len(t.By) > maxByBytes:
		return bad("token %q was made by a name of more than %d bytes", t.Name, maxByBytes)
	}
	return nil
}
