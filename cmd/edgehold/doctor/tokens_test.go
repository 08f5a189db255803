package doctor

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// tokenNode lists join tokens and policies.
type tokenNode struct {
	fakeNode
	tokens   []api.JoinToken
	policies []api.Policy
}

func (n *tokenNode) Fetch(_ context.Context, path string) ([]byte, error) {
	if n.err != nil || path != "/v1/cluster/tokens" && path != "/v1/access/policies" {
		return nil, n.err
	}
	return json.Marshal(map[string]any{"tokens": n.tokens, "policies": n.policies})
}

func TestJoinTokens(t *testing.T) {
	soon, late := time.Now().Add(time.Hour), time.Now().Add(30*24*time.Hour)
	for _, c := range []struct {
		token api.JoinToken
		want  Verdict
	}{
		{api.JoinToken{ID: "a", Uses: 1, Expires: soon}, OK},
		{api.JoinToken{ID: "a", Uses: 1, Expires: late}, OK},
		{api.JoinToken{ID: "a", Uses: api.UnlimitedUses, Expires: soon}, OK},
		{api.JoinToken{ID: "a", Uses: api.UnlimitedUses, Expires: late}, Warn},
		{api.JoinToken{ID: "a", Uses: 1}, Warn},
		{api.JoinToken{ID: "a", Uses: 9}, Warn},
	} {
		x := examOf(t, &fakeNode{})
		x.Node = &tokenNode{tokens: []api.JoinToken{c.token}}
		words := "none that lasts"
		if c.want == Warn {
			words = "token revoke a,"
		}
		says(t, joinTokens(t.Context(), x), c.want, words)
	}
	for code, want := range map[api.Code]Verdict{api.CodeConflict: OK, api.CodeDenied: Skip, api.CodeUnauthenticated: Skip, api.CodeUnavailable: Fail, api.CodeNotFound: Skip} {
		x := examOf(t, &fakeNode{})
		x.Node = &tokenNode{fakeNode: fakeNode{err: api.Errorf(code, "no")}}
		says(t, joinTokens(t.Context(), x), want, "")
		says(t, anonymous(t.Context(), x), want, "")
	}
}

func TestAnonymous(t *testing.T) {
	for _, c := range []struct {
		policy api.Policy
		want   Verdict
		words  string
	}{
		{api.Policy{Name: "all", Admin: true}, OK, "may do nothing"},
		{api.Policy{Name: "anonymous"}, OK, "may do nothing"},
		{api.Policy{Name: "anonymous", Rules: []api.PolicyRule{{Prefix: "public/", Read: true}}}, Warn, "1 prefixes"},
		{api.Policy{Name: "anonymous", Observe: true}, Warn, "observe"},
		{api.Policy{Name: "anonymous", Rules: []api.PolicyRule{{Prefix: "inbox/", Write: true}}}, Fail, `"inbox/"`},
		{api.Policy{Name: "anonymous", Operate: true}, Fail, "operate"},
		{api.Policy{Name: "anonymous", Admin: true}, Fail, "operate"},
	} {
		x := examOf(t, &fakeNode{})
		x.Node = &tokenNode{policies: []api.Policy{c.policy}}
		says(t, anonymous(t.Context(), x), c.want, c.words)
	}
}
