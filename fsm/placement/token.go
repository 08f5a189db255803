package placement

import (
	"bytes"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// PutToken adds an access token, or gives one a new secret. CodeConflict if the name is another token's, or if the newest secret is
// not Replaces any more; CodeNotFound if a policy or the token to change is missing; CodeTooLarge over [MaxTokens] or
// [MaxPrincipalRules]. Repeated, it does nothing: a token that was revoked lately does not come back.
type PutToken struct {
	Token AccessToken `cbor:"1,keyasint"`
	// Replaces is the newest hash that the token has; nil adds a token.
	Replaces []byte `cbor:"2,keyasint,omitempty"`
}

func (PutToken) kind() byte { return kindPutToken }

// reservedNames are principals that no token may pass for.
var reservedNames = []string{"socket", "anonymous"}

func (s *state) putToken(c PutToken) (changes, error) {
	t := c.Token
	if err := t.Check(); err != nil {
		return nothing, err
	}
	old, known := s.Roll.Token(t.ID)
	switch {
	case known && bytes.Equal(old.Hashes[0], t.Hashes[0]):
		return nothing, nil // a repetition
	case !known && s.Roll.dropped(func(d Dropped) bool { return d.Token != nil && *d.Token == t.ID }):
		return nothing, api.Errorf(api.CodeConflict, "token %s was revoked meanwhile: make another one", t.Name)
	case known != (c.Replaces != nil), known && !bytes.Equal(old.Hashes[0], c.Replaces):
		return nothing, api.Errorf(api.CodeConflict, "token %s was changed or revoked meanwhile: look at it again", t.Name)
	case !known && len(s.Roll.Tokens) >= MaxTokens:
		return nothing, api.Errorf(api.CodeTooLarge, "the cluster is at its limit of %d tokens", MaxTokens)
	case slices.Contains(reservedNames, t.Name):
		return nothing, bad("no token can have the name %q", t.Name)
	}
	for _, o := range s.Roll.Tokens {
		if o.Name == t.Name && o.ID != t.ID {
			return nothing, api.Errorf(api.CodeConflict, "there is a token %s already: revoke it, rotate it, or choose another name", t.Name)
		}
	}
	for _, name := range t.Policies {
		_, built := BuiltInPolicy(name)
		if _, ok := s.Roll.Policy(name); !ok && !built {
			return nothing, api.Errorf(api.CodeNotFound, "there is no policy %q", name)
		}
	}
	if err := s.Roll.checkRules(t); err != nil {
		return nothing, err
	}
	s.Roll.putToken(t)
	return ofRoll, nil
}

// DropToken revokes an access token, or ends one of its secrets. CodeNotFound if there is no such token or secret, and none that
// was revoked lately.
type DropToken struct {
	ID TokenID `cbor:"1,keyasint"`
	// Hash is the secret that ends; nil ends the token. A token whose last secret ends is revoked.
	Hash []byte `cbor:"2,keyasint,omitempty"`
	By   string `cbor:"3,keyasint,omitempty"`
}

func (DropToken) kind() byte { return kindDropToken }

func (s *state) dropToken(c DropToken) (changes, error) {
	t, ok := s.Roll.Token(c.ID)
	if !ok {
		if c.Hash == nil && s.Roll.dropped(func(d Dropped) bool { return d.Token != nil && *d.Token == c.ID }) {
			return nothing, nil // a repetition
		}
		return nothing, api.Errorf(api.CodeNotFound, "there is no token %v", c.ID)
	}
	if c.Hash == nil {
		s.Roll.dropToken(c.ID)
		return ofRoll, nil
	}
	left := slices.DeleteFunc(slices.Clone(t.Hashes), func(h []byte) bool { return bytes.Equal(h, c.Hash) })
	switch len(left) {
	case len(t.Hashes):
		return nothing, api.Errorf(api.CodeNotFound, "token %s has no such secret", t.Name)
	case 0:
		s.Roll.dropToken(c.ID)
	default:
		t.Hashes, t.Keep = left, 0
		s.Roll.putToken(t)
	}
	return ofRoll, nil
}
