package placement

import (
	"fmt"
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
)

func hash(b byte) []byte { return slices.Repeat([]byte{b}, tokenHashBytes) }

// atIdentity returns a machine whose cluster has tokens and policies.
func atIdentity(t *testing.T) *Machine {
	t.Helper()
	m := bootstrapped(t)
	if res := apply(t, m, SetLevel{LevelIdentity}); res.Err != nil {
		t.Fatal(res.Err)
	}
	return m
}

func wantResult(t *testing.T, m *Machine, c Command, code api.Code, changed bool) {
	t.Helper()
	before := m.Roll().Revision
	res := apply(t, m, c)
	now := m.Roll().Revision
	err := error(nil)
	if res.Err != nil {
		err = res.Err
	}
	if api.CodeOf(err) != code || (now != before) != changed || res.Roll != now || now > before+1 {
		t.Errorf("%+v: %v, the revision is %d after %d", c, res.Err, now, before)
	}
	if err := m.Roll().Check(); err != nil {
		t.Error(err)
	}
}

// TestPolicies: a policy is set, replaced and deleted; one that a token has is deleted by force alone, and then gives no token
// anything, also under its name again.
//
// Attack 37: a policy in use.
func TestPolicies(t *testing.T) {
	m := atIdentity(t)
	shop := Policy{Name: "shop", Rules: []Rule{{Prefix: "shop/", Read: true}}, By: "root"}
	token := PutToken{Token: AccessToken{ID: TokenID{1}, Name: "app", Hashes: [][]byte{hash(1)}, Policies: []string{"shop", "observe"}}}
	wantResult(t, m, token, api.CodeNotFound, false) // there is no such policy yet
	wantResult(t, m, PutPolicy{shop}, "", true)
	wantResult(t, m, PutPolicy{shop}, "", false)
	wantResult(t, m, token, "", true)
	shop.Audit = true
	wantResult(t, m, PutPolicy{shop}, "", true)
	wantResult(t, m, DropPolicy{Name: "shop"}, api.CodeConflict, false)
	wantResult(t, m, DropPolicy{Name: "shop", Force: true}, "", true)
	wantResult(t, m, DropPolicy{Name: "shop", Force: true}, "", false)
	if x, _ := m.Roll().Token(TokenID{1}); !slices.Equal(x.Policies, []string{"observe"}) || x.Revision != m.Roll().Revision {
		t.Errorf("the token is %+v", x)
	}
	for _, p := range BuiltInPolicies() {
		wantResult(t, m, PutPolicy{p}, api.CodeInvalid, false)
		wantResult(t, m, DropPolicy{Name: p.Name, Force: true}, api.CodeInvalid, false)
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	}
	wantResult(t, m, DropPolicy{Name: "none"}, api.CodeNotFound, false)
	for _, p := range []Policy{
		{}, {Name: "a b"}, {Name: "a\nb"}, {Name: "../x"}, {Name: "p", Rules: []Rule{{Prefix: "a"}}},
		{Name: "p", Rules: make([]Rule, MaxPolicyRules+1)}, {Name: "p", Rules: []Rule{{Prefix: api.Key(make([]byte, api.MaxKeyBytes+1)), Read: true}}},
	} {
		wantResult(t, m, PutPolicy{p}, api.CodeInvalid, false)
	}
}

// TestTokens: a token is made once, rotated from the secret that it has, and revoked; its names are its own.
func TestTokens(t *testing.T) {
	m := atIdentity(t)
	made := AccessToken{ID: TokenID{1}, Name: "app", Hashes: [][]byte{hash(1)}, Policies: []string{"all"}, By: "root"}
	wantResult(t, m, PutToken{Token: made, Replaces: hash(9)}, api.CodeConflict, false)
	wantResult(t, m, PutToken{Token: made}, "", true)
	wantResult(t, m, PutToken{Token: made}, "", false)
	other := made
	other.ID = TokenID{2}
	wantResult(t, m, PutToken{Token: other}, api.CodeConflict, false) // of the same name
	other.Name = "socket"
	wantResult(t, m, PutToken{Token: other}, api.CodeInvalid, false)

	rotated := made
	rotated.Hashes, rotated.Keep = [][]byte{hash(2), hash(1)}, 100
	wantResult(t, m, PutToken{Token: rotated}, api.CodeConflict, false) // it names no secret to replace
	wantResult(t, m, PutToken{Token: rotated, Replaces: hash(1)}, "", true)
	wantResult(t, m, PutToken{Token: rotated, Replaces: hash(1)}, "", false)
	late := made
	late.Hashes = [][]byte{hash(3), hash(1)}
	wantResult(t, m, PutToken{Token: late, Replaces: hash(1)}, api.CodeConflict, false) // it was rotated meanwhile
	wantResult(t, m, DropToken{ID: made.ID, Hash: hash(9)}, api.CodeNotFound, false)
	wantResult(t, m, DropToken{ID: made.ID, Hash: hash(1)}, "", true)
	if x, _ := m.Roll().Token(made.ID); len(x.Hashes) != 1 || x.Hashes[0][0] != 2 || x.Keep != 0 {
		t.Errorf("after the old secret has ended the token is %+v", x)
	}
	wantResult(t, m, DropToken{ID: made.ID, Hash: hash(2)}, "", true)
	wantResult(t, m, DropToken{ID: made.ID}, "", false)
	wantResult(t, m, PutToken{Token: made}, api.CodeConflict, false) // it was proposed twice, and arrives after the token was revoked
	wantResult(t, m, DropToken{ID: TokenID{7}}, api.CodeNotFound, false)
	if len(m.Roll().Tokens) != 0 {
		t.Error("a token is left")
	}
}

// TestAccessLimits: tokens, policies and the rules of one principal are bounded.
func TestAccessLimits(t *testing.T) {
	m := atIdentity(t)
	many := Policy{Rules: make([]Rule, MaxPolicyRules)}
	for i := range many.Rules {
		many.Rules[i] = Rule{Prefix: api.Key(fmt.Sprint(i)), Read: true}
	}
	var names []string
	for i := range 5 {
		many.Name = fmt.Sprintf("p%d", i)
		names = append(names, many.Name)
		wantResult(t, m, PutPolicy{many}, "", true)
	}
	token := func(i int, policies []string) PutToken {
		return PutToken{Token: AccessToken{ID: TokenID{byte(i >> 8), byte(i)}, Name: fmt.Sprintf("t%d", i), Hashes: [][]byte{hash(1)}, Policies: policies}}
	}
	wantResult(t, m, token(0, names), api.CodeTooLarge, false)
	wantResult(t, m, token(0, names[:4]), "", true)
	wantResult(t, m, token(1, append([]string{"all"}, names[:4]...)), api.CodeTooLarge, false)
	small := Policy{Name: "small", Rules: many.Rules[:1]}
	wantResult(t, m, PutPolicy{small}, "", true)
	wantResult(t, m, token(1, append([]string{"small"}, names[:3]...)), "", true)
	small.Rules = many.Rules
	wantResult(t, m, PutPolicy{small}, "", true)
	small.Name, small.Rules = "p0", nil
	wantResult(t, m, PutPolicy{small}, "", true)
	wantResult(t, m, token(2, make([]string, MaxTokenPolicies+1)), api.CodeInvalid, false)
	for i := 2; i < MaxTokens; i++ {
		m.state.Load().Roll.Tokens = append(m.state.Load().Roll.Tokens, token(i, nil).Token)
	}
	wantResult(t, m, token(MaxTokens, nil), api.CodeTooLarge, false)
	for i := len(m.Roll().Policies); i < MaxPolicies; i++ {
		m.state.Load().Roll.Policies = append(m.state.Load().Roll.Policies, Policy{Name: fmt.Sprintf("z%04d", i)})
	}
	wantResult(t, m, PutPolicy{Policy{Name: "more"}}, api.CodeTooLarge, false)
}

// TestAccessNeedsLevel: an older cluster has neither tokens nor policies.
func TestAccessNeedsLevel(t *testing.T) {
	m := oldMachine(t)
	for _, c := range []Command{PutPolicy{}, DropPolicy{}, PutToken{}, DropToken{}} {
		if res := apply(t, m, c); api.CodeOf(res.Err) != api.CodeConflict {
			t.Errorf("%+v: %v", c, res.Err)
		}
	}
}
