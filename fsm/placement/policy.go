package placement

import (
	"slices"

	"github.com/edgehold/edgehold/api"
)

// builtIn are the policies that every cluster has. No command changes them.
var builtIn = []Policy{
	{Name: "admin", Observe: true, Operate: true, Admin: true},
	{Name: "all", Rules: []Rule{{Read: true, List: true, Write: true}}},
	{Name: "observe", Observe: true},
	{Name: "operate", Observe: true, Operate: true},
	{Name: "read-all", Rules: []Rule{{Read: true, List: true}}},
}

// BuiltInPolicies returns the policies that every cluster has, in order of name.
func BuiltInPolicies() []Policy { return slices.Clone(builtIn) }

// BuiltInPolicy returns the policy with that name, if every cluster has it.
func BuiltInPolicy(name string) (Policy, bool) {
	for _, p := range builtIn {
		if p.Name == name {
			return p, true
		}
	}
	return Policy{}, false
}

// PutPolicy adds a policy, or replaces the one of its name. CodeInvalid if the name is a built-in policy's, CodeTooLarge over
// [MaxPolicies], or if a token with the policy had more than [MaxPrincipalRules] rules.
type PutPolicy struct {
	Policy Policy `cbor:"1,keyasint"`
}

func (PutPolicy) kind() byte { return kindPutPolicy }

func (s *state) putPolicy(c PutPolicy) (changes, error) {
	p := c.Policy
	if err := p.Check(); err != nil {
		return nothing, err
	}
	if _, ok := BuiltInPolicy(p.Name); ok {
		return nothing, bad("policy %q is built in and does not change: choose another name", p.Name)
	}
	old, known := s.Roll.Policy(p.Name)
	switch {
	case known && samePolicy(old, p):
		return nothing, nil // a repetition
	case !known && len(s.Roll.Policies) >= MaxPolicies:
		return nothing, api.Errorf(api.CodeTooLarge, "the cluster is at its limit of %d policies", MaxPolicies)
	}
	s.Roll.putPolicy(p)
	for _, t := range s.Roll.Tokens {
		if err := s.Roll.checkRules(t); err != nil {
			return nothing, err
		}
	}
	return ofRoll, nil
}

// samePolicy reports whether both give the same rights by the same principal.
func samePolicy(a, b Policy) bool {
	return slices.Equal(a.Rules, b.Rules) && a.Observe == b.Observe && a.Operate == b.Operate && a.Admin == b.Admin &&
		a.Audit == b.Audit && a.By == b.By
}

// checkRules returns an error if the policies of the token have too many rules together.
func (r *Roll) checkRules(t AccessToken) error {
	n := 0
	for _, name := range t.Policies {
		p, ok := BuiltInPolicy(name)
		if !ok {
			p, _ = r.Policy(name)
		}
		n += len(p.Rules)
	}
	if n > MaxPrincipalRules {
		return api.Errorf(api.CodeTooLarge, "token %q would have %d rules; the limit is %d", t.Name, n, MaxPrincipalRules)
	}
	return nil
}

// DropPolicy removes a policy. CodeNotFound if there is none of that name; CodeConflict if a token has it, unless Force, which takes
// it from the tokens too: no later policy of that name gives them rights.
type DropPolicy struct {
	Name  string `cbor:"1,keyasint"`
	Force bool   `cbor:"2,keyasint,omitempty"`
	By    string `cbor:"3,keyasint,omitempty"`
}

func (DropPolicy) kind() byte { return kindDropPolicy }

func (s *state) dropPolicy(c DropPolicy) (changes, error) {
	if _, ok := BuiltInPolicy(c.Name); ok {
		return nothing, bad("policy %q is built in and cannot be deleted", c.Name)
	}
	for _, t := range s.Roll.Tokens {
		if !slices.Contains(t.Policies, c.Name) {
			continue
		}
		if !c.Force {
			return nothing, api.Errorf(api.CodeConflict, "token %s has the policy %s: revoke it first, or delete the policy with --force", t.Name, c.Name)
		}
		t.Policies = slices.DeleteFunc(slices.Clone(t.Policies), func(name string) bool { return name == c.Name })
		s.Roll.putToken(t)
	}
	if !s.Roll.dropPolicy(c.Name) {
		if s.Roll.dropped(func(d Dropped) bool { return d.Policy == c.Name }) {
			return nothing, nil // a repetition
		}
		return nothing, api.Errorf(api.CodeNotFound, "there is no policy %q", c.Name)
	}
	return ofRoll, nil
}

// dropped reports whether a record was removed lately.
func (r *Roll) dropped(is func(Dropped) bool) bool { return slices.ContainsFunc(r.Dropped, is) }
