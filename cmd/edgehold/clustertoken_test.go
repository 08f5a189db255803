package main

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// fakeTokens keeps join tokens.
type fakeTokens struct {
	asked  api.JoinTokenSpec
	tokens []api.JoinToken
	err    error
}

func (f *fakeTokens) CreateJoinToken(_ context.Context, spec api.JoinTokenSpec) (*api.NewJoinToken, error) {
	if f.err != nil {
		return nil, f.err
	}
	f.asked = spec
	t := api.JoinToken{ID: "0123456789abcdef", Role: spec.Role, Region: spec.Region, Uses: spec.Uses, By: "socket"}
	if spec.TTL > 0 {
		t.Expires = time.Now().Add(spec.TTL)
	}
	f.tokens = append(f.tokens, t)
	return &api.NewJoinToken{JoinToken: t, Token: "ehj1_secret"}, nil
}

func (f *fakeTokens) JoinTokens(context.Context) ([]api.JoinToken, error) { return f.tokens, f.err }

func (f *fakeTokens) RevokeJoinToken(_ context.Context, id string) error {
	if len(f.tokens) == 0 || id != f.tokens[0].ID {
		return api.Errorf(api.CodeNotFound, "there is no join token %q", id)
	}
	f.tokens = f.tokens[1:]
	return nil
}

// TestClusterToken: create prints the token alone, list shows no secret, and revoke says what is not there.
func TestClusterToken(t *testing.T) {
	fake := new(fakeTokens)
	s := httptest.NewServer(httpd.New(front.New(front.Config{Store: storetest.NewMemory(), JoinTokens: fake}), httpd.Config{}))
	defer s.Close()
	run := func(args ...string) *invocation {
		return (&invocation{env: map[string]string{"EDGEHOLD_ADDR": s.URL}}).run(append([]string{"cluster", "token"}, args...)...)
	}
	if i := run("list"); i.status != 0 || strings.Count(i.out, "\n") != 1 {
		t.Errorf("no tokens: exit %d, %q, %q", i.status, i.out, i.err)
	}
	if i := run("list", "-o", "json"); i.out != `{"tokens":[]}`+"\n" {
		t.Errorf("no tokens: %q", i.out)
	}
	i := run("create", "--role", "edge", "--region", "eu-west", "--uses", "unlimited", "--policy", "shop", "--names", "*.example.com,b.org", "--ephemeral")
	if i.status != 0 || i.out != "ehj1_secret\n" || i.err != "" {
		t.Errorf("create: exit %d, %q, %q", i.status, i.out, i.err)
	}
	want := api.JoinTokenSpec{Role: "edge", Region: "eu-west", TTL: time.Hour, Uses: api.UnlimitedUses, Policies: []string{"shop"}, Names: []string{"*.example.com", "b.org"}, Ephemeral: true}
	if got, _ := json.Marshal(fake.asked); string(got) != func() string { b, _ := json.Marshal(want); return string(b) }() {
		t.Errorf("asked for %s", got)
	}
	if i := run("list"); !strings.Contains(i.out, "unlimited") || !strings.Contains(i.out, "in 1h") || strings.Contains(i.out, "secret") {
		t.Errorf("list: %q", i.out)
	}
	if i := run("revoke", "0123456789abcdef"); i.status != 0 || i.out != "revoked 0123456789abcdef\n" {
		t.Errorf("revoke: exit %d, %q, %q", i.status, i.out, i.err)
	}
	if i := run("revoke", "0123456789abcdef"); i.status != 3 || !strings.Contains(i.err, "there is no join token") {
		t.Errorf("revoke again: exit %d, %q", i.status, i.err)
	}
	if i := run("create", "--role", "server", "--ttl", "0"); i.status != 0 || !strings.Contains(i.err, "never ends") || strings.Contains(i.err, "secret") {
		t.Errorf("without an end: exit %d, %q", i.status, i.err)
	}
	if i := run("create", "--for", "us-east-2"); i.status != 0 || fake.asked.For != "us-east-2" || fake.asked.Uses != 1 {
		t.Errorf("for a node: exit %d, %q", i.status, i.err)
	}
	for _, bad := range [][]string{{}, {"--role", "king"}, {"--role", "server", "--uses", "0"}, {"--role", "server", "--uses", "many"},
		{"--role", "server", "--ttl", "-1s"}, {"--role", "server", "--names", "x.org"}, {"--role", "server", "--ephemeral"}, {"--role", "server", "--policy", "p"}} {
		if i := run(append([]string{"create"}, bad...)...); i.status != 2 || strings.Count(i.err, "\n") != 1 {
			t.Errorf("%v: exit %d, %q", bad, i.status, i.err)
		}
	}
	fake.err = api.Errorf(api.CodeConflict, "this cluster is plain")
	if i := run("create", "--role", "server"); i.status != 1 || !strings.Contains(i.err, "this cluster is plain") {
		t.Errorf("a plain cluster: exit %d, %q", i.status, i.err)
	}
}
