package placement

import (
	"cmp"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// RollChange brings a copy of the roll from one revision to another. It is also how a copy is kept in a file: then Base is 0.
type RollChange struct {
	// ClusterID names the cluster; rolls of different clusters are never mixed.
	ClusterID string `cbor:"1,keyasint"`
	// Base is the revision that the copy must have at least; 0 if Roll is the whole roll.
	Base uint64 `cbor:"2,keyasint,omitempty"`
	// Roll has what changed after Base, and the new revision.
	Roll Roll `cbor:"3,keyasint"`
}

// Since returns what a copy at the revision lacks: the records that were changed or dropped after it, or the whole roll if that is
// not remembered any more.
func (r *Roll) Since(clusterID string, revision uint64) *RollChange {
	if revision == 0 || revision < r.Forgotten || revision > r.Revision {
		return &RollChange{ClusterID: clusterID, Roll: *r}
	}
	c := &RollChange{ClusterID: clusterID, Base: revision, Roll: Roll{Revision: r.Revision, Forgotten: r.Forgotten}}
	for _, p := range r.Policies {
		if p.Revision > revision {
			c.Roll.Policies = append(c.Roll.Policies, p)
		}
	}
	for _, t := range r.Tokens {
		if t.Revision > revision {
			c.Roll.Tokens = append(c.Roll.Tokens, t)
		}
	}
	for _, d := range r.Dropped {
		if d.Revision > revision {
			c.Roll.Dropped = append(c.Roll.Dropped, d)
		}
	}
	return c
}

// With returns the roll after the change: the same, byte for byte, as that which the change was taken of. CodeConflict if the roll
// lacks changes before the base of this one. A change that brings nothing newer gives the roll itself.
func (r *Roll) With(c *RollChange) (*Roll, error) {
	switch {
	case c.Roll.Revision <= r.Revision:
		return r, nil
	case c.Base == 0:
		return &c.Roll, c.Roll.Check()
	case c.Base > r.Revision:
		return nil, api.Errorf(api.CodeConflict, "a change of the roll since revision %d does not fit a copy at revision %d", c.Base, r.Revision)
	}
	next := Roll{Revision: c.Roll.Revision, Forgotten: c.Roll.Forgotten, Policies: r.Policies, Tokens: r.Tokens}
	for _, d := range c.Roll.Dropped {
		if d.Token != nil {
			next.Tokens = without(next.Tokens, func(t AccessToken) bool { return t.ID == *d.Token })
		} else {
			next.Policies = without(next.Policies, func(p Policy) bool { return p.Name == d.Policy })
		}
	}
	for _, p := range c.Roll.Policies {
		next.Policies = put(next.Policies, p, comparePolicies)
	}
	for _, t := range c.Roll.Tokens {
		next.Tokens = put(next.Tokens, t, compareTokens)
	}
	for _, d := range slices.Concat(r.Dropped, c.Roll.Dropped) {
		n := len(next.Dropped)
		if d.Revision > next.Forgotten && (n == 0 || d.Revision > next.Dropped[n-1].Revision) {
			next.Dropped = append(next.Dropped, d)
		}
	}
	return &next, next.Check()
}

// EncodeRollChange is the change for a wire or a file.
func EncodeRollChange(c *RollChange) []byte { return encode([]byte{LevelIdentity.version()}, c) }

// DecodeRollChange reads what EncodeRollChange wrote; CodeInvalid for anything else. With checks the records.
func DecodeRollChange(b []byte) (*RollChange, error) {
	if len(b) < 1 || b[0] != LevelIdentity.version() {
		return nil, bad("unknown version of a roll")
	}
	c, err := decode[RollChange](b[1:])
	if err != nil {
		return nil, err
	}
	return &c, nil
}

func comparePolicies(a, b Policy) int { return cmp.Compare(a.Name, b.Name) }

func compareTokens(a, b AccessToken) int { return compareIDs(a.ID, b.ID) }

// without returns the records that are not out. The slice is replaced.
func without[T any](all []T, out func(T) bool) []T { return slices.DeleteFunc(slices.Clone(all), out) }
