package main

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// fakeAccess keeps what it was asked.
type fakeAccess struct {
	spec   api.AccessTokenSpec
	policy api.Policy
	keep   time.Duration
	told   api.Told
	err    error
}

func (f *fakeAccess) AccessTokens(context.Context, api.NodeID) ([]api.AccessToken, error) {
	return []api.AccessToken{{ID: "0a", Name: "web", Policies: []string{"shop"}, Ops: 5, By: "root"}}, f.err
}

func (f *fakeAccess) CreateAccessToken(_ context.Context, spec api.AccessTokenSpec, _ time.Duration) (*api.NewAccessToken, error) {
	f.spec = spec
	return &api.NewAccessToken{AccessToken: api.AccessToken{ID: "0a", Name: spec.Name}, Token: "ehk1_secret", Told: f.told}, f.err
}

func (f *fakeAccess) RotateAccessToken(_ context.Context, token string, keep, _ time.Duration) (*api.NewAccessToken, error) {
	f.keep = keep
	return &api.NewAccessToken{AccessToken: api.AccessToken{ID: "0a", Name: token}, Token: "ehk1_second", Told: f.told}, f.err
}

func (f *fakeAccess) RevokeAccessToken(context.Context, string, time.Duration) (*api.Told, error) {
	return &f.told, f.err
}

func (f *fakeAccess) Policies(context.Context) ([]api.Policy, error) {
	return []api.Policy{
		{Name: "observe", Observe: true, BuiltIn: true},
		{Name: "shop", Rules: []api.PolicyRule{{Prefix: "shop/", Read: true, List: true}, {Prefix: "\xff", Write: true}}, By: "root"},
	}, f.err
}

func (f *fakeAccess) SetPolicy(_ context.Context, p api.Policy, _ time.Duration) (*api.Told, error) {
	f.policy = p
	return &f.told, f.err
}

func (f *fakeAccess) DeletePolicy(_ context.Context, _ string, force bool, _ time.Duration) (*api.Told, error) {
	if !force {
		return nil, api.Errorf(api.CodeConflict, "token web has the policy")
	}
	return &f.told, f.err
}

// accessServer serves the fake, and runs commands against it.
func accessServer(t *testing.T) (*fakeAccess, func(args ...string) *invocation) {
	t.Helper()
	fake := new(fakeAccess)
	s := httptest.NewServer(httpd.New(front.New(front.Config{Store: storetest.NewMemory(), Tokens: fake}), httpd.Config{}))
	t.Cleanup(s.Close)
	return fake, func(args ...string) *invocation {
		return (&invocation{env: map[string]string{"EDGEHOLD_ADDR": s.URL}}).run(append([]string{"access"}, args...)...)
	}
}

// TestAccess: tokens are printed alone on their line; what was asked arrives; a change that some nodes do not judge by yet fails and
// names them, after the secret was printed.
func TestAccess(t *testing.T) {
	fake, run := accessServer(t)
	i := run("token", "create", "--name", "web", "--policy", "shop,observe", "--at", "eu-west", "--ttl", "24h", "--ops", "10", "--bytes", "1000")
	if i.status != 0 || i.out != "ehk1_secret\n" || i.err != "" {
		t.Errorf("create: exit %d, %q, %q", i.status, i.out, i.err)
	}
	want := api.AccessTokenSpec{Name: "web", Policies: []string{"shop", "observe"}, At: []string{"eu-west"}, TTL: 24 * time.Hour, Ops: 10, Bytes: 1000}
	if !reflect.DeepEqual(fake.spec, want) {
		t.Errorf("asked for %+v", fake.spec)
	}
	i = run("policy", "set", "shop", "--read", "shop/", "--list", "shop/", "--write", "", "--audit")
	if i.status != 0 || i.out != "policy shop is set everywhere\n" {
		t.Errorf("policy set: exit %d, %q, %q", i.status, i.out, i.err)
	}
	if p := (api.Policy{Name: "shop", Audit: true, Rules: []api.PolicyRule{{Prefix: "shop/", Read: true, List: true}, {Write: true}}}); !reflect.DeepEqual(fake.policy, p) {
		t.Errorf("set %+v", fake.policy)
	}
	if i := run("token", "rotate", "web", "--keep", "1h"); i.status != 0 || i.out != "ehk1_second\n" || fake.keep != time.Hour {
		t.Errorf("rotate: exit %d, %q, kept for %v", i.status, i.out, fake.keep)
	}
	if i := run("token", "list"); i.status != 0 || !strings.Contains(i.out, "5 ops/s") || strings.Contains(i.out, "ehk1") {
		t.Errorf("list: %q", i.out)
	}
	if i := run("token", "show", "none"); i.status != 3 {
		t.Errorf("show what there is not: exit %d, %q", i.status, i.err)
	}
	if i := run("policy", "list"); !strings.Contains(i.out, "built in") || !strings.Contains(i.out, `"\xff"*`) || !strings.Contains(i.out, "shop/*") {
		t.Errorf("policy list: %q", i.out)
	}
	if i := run("policy", "delete", "shop"); i.status != 1 || !strings.Contains(i.err, "token web has the policy") {
		t.Errorf("a policy in use: exit %d, %q", i.status, i.err)
	}
	if i := run("policy", "delete", "shop", "--force"); i.status != 0 {
		t.Errorf("by force: exit %d, %q", i.status, i.err)
	}
	if i := run("whoami"); i.status != 0 || !strings.Contains(i.out, "anonymous") {
		t.Errorf("whoami: %q", i.out)
	}
	fake.told = api.Told{Revision: 7, NotTold: []api.NotTold{{Node: "ap-south-2", Why: "unreachable"}}}
	for _, c := range []struct {
		out  string
		args []string
	}{
		{"ehk1_secret\n", []string{"token", "create", "--name", "web"}}, {"ehk1_second\n", []string{"token", "rotate", "web"}},
		{"token web is revoked\n", []string{"token", "revoke", "web"}}, {"policy p is set\n", []string{"policy", "set", "p"}},
	} {
		if i := run(append(c.args, "--wait", "1s")...); i.status != 1 || i.out != c.out || !strings.Contains(i.err, "not told yet: ap-south-2 (unreachable)") {
			t.Errorf("%v: exit %d, %q, %q", c.args, i.status, i.out, i.err)
		}
	}
}

// TestAccessUsage: what makes no sense is refused before anything is asked.
//
// Attack 37: a limit of 0.
func TestAccessUsage(t *testing.T) {
	_, run := accessServer(t)
	for _, bad := range [][]string{
		{"token", "create"}, {"token", "create", "--name", "x", "--ops", "0"}, {"token", "create", "--name", "x", "--bytes", "0"},
		{"token", "create", "--name", "x", "--ops", "-1"}, {"token", "rotate", "x", "--keep", "-1s"}, {"token", "revoke"},
		{"token", "revoke", "x", "--wait", "-1s"}, {"policy", "set"},
	} {
		if i := run(bad...); i.status != 2 || strings.Count(i.err, "\n") != 1 {
			t.Errorf("%v: exit %d, %q", bad, i.status, i.err)
		}
	}
}

// TestTokenFiles: a token comes from a file that no other user may read; one on the command line is warned of, and never shown.
//
// Attack 39: secrets in the arguments of the process.
func TestTokenFiles(t *testing.T) {
	_, run := accessServer(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("ehk1_good\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--token", "@" + file}, {"--token-file", file}} {
		if i := run(append([]string{"whoami"}, args...)...); i.status != 1 || !strings.Contains(i.err, "chmod 600 "+file) {
			t.Errorf("%v, which others may read: exit %d, %q", args, i.status, i.err)
		}
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--token", "@" + file}, {"--token-file", file}} {
		if i := run(append([]string{"whoami"}, args...)...); i.status != 0 || i.err != "" {
			t.Errorf("%v: exit %d, %q", args, i.status, i.err)
		}
	}
	if i := run("whoami", "--token", "ehk1_literal"); i.status != 0 || !strings.Contains(i.err, "other users of this machine can see --token") || strings.Contains(i.err, "literal") {
		t.Errorf("a literal: exit %d, %q", i.status, i.err)
	}
	if i := run("whoami", "--token", "x", "--token-file", file); i.status != 2 {
		t.Errorf("both: exit %d, %q", i.status, i.err)
	}
	if i := run("whoami", "--token", "@"+file+".none"); i.status != 2 {
		t.Errorf("no such file: exit %d, %q", i.status, i.err)
	}
	in := func(env map[string]string, args ...string) *invocation {
		env["EDGEHOLD_ADDR"] = "http://127.0.0.1:1"
		return (&invocation{env: env}).run(append([]string{"kv", "get", "k", "--timeout", "10ms"}, args...)...)
	}
	given := "ehk1_env"
	if i := in(map[string]string{"EDGEHOLD_TOKEN": given}); strings.Contains(i.err, "warning") || strings.Contains(i.err, given) {
		t.Errorf("by the environment: %q", i.err)
	}
	if i := in(map[string]string{"EDGEHOLD_TOKEN_FILE": "/none"}, "--token", "@"+file); i.status == 2 {
		t.Errorf("the command line does not win over the environment: %q", i.err)
	}
}
