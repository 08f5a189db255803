package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/lock"
	"github.com/edgehold/edgehold/api/storetest"
)

// planet is a node with a store in memory, and the requests that it received.
type planet struct {
	*httptest.Server
	store *storetest.Memory
	admin *fakeAdmin

	mu   sync.Mutex
	seen []*http.Request
	// fault, if set, may answer instead of the node.
	fault func(w http.ResponseWriter, r *http.Request) (answered bool)
}

func newPlanet(t *testing.T) *planet {
	t.Helper()
	store := storetest.NewMemory()
	p := &planet{store: store, admin: &fakeAdmin{status: sampleStatus()}}
	locks := lock.New(lock.Config{Store: store, Watcher: store})
	t.Cleanup(func() { _ = locks.Close() })
	h := httpd.New(front.New(front.Config{Store: store, Lister: store, Watcher: store, Locks: locks, Admin: p.admin, Debugger: fakeDebugger{}, Node: "here-1"}), httpd.Config{})
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, r.Clone(context.Background()))
		fault := p.fault
		p.mu.Unlock()
		if fault != nil {
			r.Header.Del("Upgrade") // then every call is a request, for the fault to see
		}
		if fault == nil || !fault(w, r) {
			h.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *planet) setFault(f func(http.ResponseWriter, *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// last returns the newest request.
func (p *planet) last() *http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[len(p.seen)-1]
}

// problem answers as a node that refuses the request.
func problem(w http.ResponseWriter, code api.Code) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code.HTTPStatus())
	_ = json.NewEncoder(w).Encode(map[string]any{"code": code, "detail": "the test refuses it", "applied": code.Applied(), "retry_after": 1})
}

type fakeAdmin struct {
	status   *api.Status
	notReady error
	placed   map[api.Key]api.RegionID
}

func (a *fakeAdmin) Status(context.Context) (*api.Status, error) { return a.status, nil }
func (a *fakeAdmin) Ready(context.Context) error                 { return a.notReady }
func (a *fakeAdmin) SetPlacement(_ context.Context, prefix api.Key, region api.RegionID) error {
	if region == "nowhere" {
		return api.Errorf(api.CodeConflict, "there is no such region")
	}
	a.placed = map[api.Key]api.RegionID{prefix: region}
	return nil
}
func (a *fakeAdmin) SetPlacementGroup(_ context.Context, prefix api.Key, group api.GroupID) error {
	a.placed = map[api.Key]api.RegionID{prefix: api.RegionID("group " + group)}
	return nil
}

func sampleStatus() *api.Status {
	return &api.Status{
		ClusterID: "c1", Sessions: 2, Leases: 7,
		Nodes: []api.NodeStatus{
			{Node: "us-east-1", Region: "us-east", Role: api.RoleServer, URL: "http://127.0.0.1:7400", State: "up"},
			{Node: "eu-west-edge-1", Region: "eu-west", Role: api.RoleEdge, URL: "http://127.0.0.1:7401", State: "unreachable"},
		},
		Groups: []api.GroupStatus{
			{Group: "us-east.1", Region: "us-east", Leader: "us-east-1", Term: 3, Voters: []api.NodeID{"us-east-1", "us-east-2"}, Applied: 42, Prepared: 2, Unresolved: 1, OldestPreparedSeconds: 12.2,
				Locked: []api.Lock{{Key: "us/a", Decider: "eu-west.1", Seconds: 12.2}, {Key: "us/\xff", Decider: "eu-west.1", Seconds: 7}}},
			{Group: "eu-west.1", Region: "eu-west", Term: 4},
		},
		Ranges: []api.RangeStatus{
			{Start: "", End: "eu-west/", Group: "us-east.1", Epoch: 1},
			{Start: "eu-west/", End: "eu-west0", Group: "eu-west.1", Epoch: 2},
			{Start: "eu-west0", End: "\xff\x00", Group: "us-east.1", Epoch: 1},
		},
	}
}

// invocation is one run of the binary.
type invocation struct {
	stdin    string
	env      map[string]string
	outIsTTY bool
	errIsTTY bool
	ctx      context.Context
	status   int
	out, err string
	outBuf   bytes.Buffer
	errBuf   bytes.Buffer
}

func (i *invocation) run(args ...string) *invocation {
	if i.ctx == nil {
		i.ctx = context.Background()
	}
	i.status = run(i.ctx, args, &terminal{
		in: strings.NewReader(i.stdin), out: &i.outBuf, err: &i.errBuf, outIsTTY: i.outIsTTY, errIsTTY: i.errIsTTY,
		lookupEnv: func(name string) (string, bool) { v, ok := i.env[name]; return v, ok },
	})
	i.out, i.err = i.outBuf.String(), i.errBuf.String()
	return i
}

// on runs a command against the planet.
func (p *planet) on(t *testing.T, stdin string, args ...string) *invocation {
	t.Helper()
	i := &invocation{stdin: stdin, env: map[string]string{"EDGEHOLD_ADDR": p.URL}}
	return i.run(args...)
}

// must runs a command that must succeed, and returns its output.
func (p *planet) must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	i := p.on(t, stdin, args...)
	if i.status != 0 {
		t.Fatalf("edgehold %s: exit %d: %s", strings.Join(args, " "), i.status, i.err)
	}
	return i.out
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExitStatusAndErrors(t *testing.T) {
	p := newPlanet(t)
	version := strings.TrimSpace(p.must(t, "", "kv", "put", "k", "v"))
	big := writeFile(t, "big", strings.Repeat("x", api.MaxValueBytes+1))
	for _, c := range []struct {
		name   string
		args   []string
		status int
		says   string // part of the one line on stderr
	}{
		{"done", []string{"kv", "get", "k"}, 0, ""},
		{"absent", []string{"kv", "get", "nothing"}, 3, "not_found"},
		{"delete of an absent key", []string{"kv", "del", "nothing"}, 0, ""},
		{"there already", []string{"kv", "put", "k", "w", "--if-absent"}, 3, "precondition_failed: the key is at version " + version + "\n"},
		{"other version", []string{"kv", "put", "k", "w", "--if-version", "9.9"}, 3, "precondition_failed"},
		{"delete at another version", []string{"kv", "del", "k", "--if-version", "9.9"}, 3, "precondition_failed"},
		{"too large", []string{"kv", "put", "k", "--file", big}, 1, "1048577 bytes is over the limit of 1048576 bytes"},
		{"endless key", []string{"kv", "get", strings.Repeat("k", api.MaxKeyBytes+1)}, 1, `"` + strings.Repeat("k", 100) + `"...: too_large: key of 4097 bytes`},
		{"no such file", []string{"kv", "put", "k", "--file", big + "x"}, 1, "no such file"},
		{"refused by the cluster", []string{"placement", "set", "--prefix", "p/", "--region", "nowhere"}, 1, `edgehold kv list --prefix "p/" shows`},
		{"no command", []string{"kv"}, 2, "kv: a command is missing; choose one of: get, put, del, list"},
		{"unknown command", []string{"kb"}, 2, `did you mean "kv"?`},
		{"not built yet", []string{"semaphore", "a"}, 2, `unknown command "semaphore"`},
		{"unknown subcommand", []string{"kv", "peek"}, 2, `kv: unknown command "peek"`},
		{"unknown flag", []string{"kv", "get", "k", "--nope"}, 2, "unknown flag: --nope"},
		{"missing argument", []string{"kv", "get"}, 2, "KEY is missing"},
		{"missing value", []string{"kv", "put", "k"}, 2, "VALUE is missing"},
		{"one argument too many", []string{"kv", "get", "k", "l"}, 2, `unexpected argument "l"`},
		{"empty key", []string{"kv", "get", ""}, 2, "the key is empty"},
		{"bad version", []string{"kv", "put", "k", "v", "--if-version", "seven"}, 2, "--if-version"},
		{"two conditions", []string{"kv", "put", "k", "v", "--if-version", "1.1", "--if-absent"}, 2, "exclude each other"},
		{"bad consistency", []string{"kv", "get", "k", "--consistency", "strong"}, 2, "choose linearizable, quorum, bounded or stale"},
		{"bad consistency of an export", []string{"export", "--consistency", "strong"}, 2, "choose linearizable or stale"},
		{"bounded by nothing", []string{"kv", "get", "k", "--consistency", "bounded"}, 2, "--max-stale"},
		{"stale with a bound", []string{"kv", "get", "k", "--consistency", "stale", "--max-stale", "1s"}, 2, "--max-stale goes with"},
		{"bad output", []string{"kv", "get", "k", "-o", "xml"}, 2, "choose table or json"},
		{"bad timeout", []string{"kv", "get", "k", "--timeout", "0s"}, 2, "--timeout"},
		{"bad address", []string{"kv", "get", "k", "--addr", "ftp://x"}, 2, "--addr"},
		{"bad limit", []string{"kv", "list", "--limit", "-1"}, 2, "--limit"},
		{"prefix and start", []string{"kv", "list", "--prefix", "a", "--start", "b"}, 2, "--prefix excludes"},
		{"prefix twice", []string{"kv", "list", "a", "--prefix", "a"}, 2, "given twice"},
		{"two prefixes", []string{"kv", "list", "a", "b"}, 2, "unexpected argument"},
		{"argument and start", []string{"kv", "list", "a", "--start", "b"}, 2, "--prefix excludes"},
		{"missing setting", []string{"placement", "set", "--prefix", "p"}, 2, "--region is required"},
		{"missing prefix", []string{"placement", "set", "--region", "eu-west"}, 2, "--prefix is required"},
		{"two owners", []string{"placement", "set", "--prefix", "p", "--region", "eu-west", "--group", "eu-west.1"}, 2, "--region and --group: choose one"},
		{"bad concurrency", []string{"import", "-", "--concurrency", "-1"}, 2, "--concurrency"},
		{"resume of nothing", []string{"export", "--resume"}, 2, "--output"},
		{"unknown shell", []string{"completion", "tcsh"}, 2, "unknown shell"},
		{"bad ca", []string{"kv", "get", "k", "--ca", big}, 2, "no PEM certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := p.on(t, "", c.args...)
			if i.status != c.status || !strings.Contains(i.err, c.says) {
				t.Errorf("exit %d, want %d; stderr %q, want %q in it", i.status, c.status, i.err, c.says)
			}
			if lines := strings.Count(i.err, "\n"); c.status != 0 && (lines != 1 || !strings.HasPrefix(i.err, "edgehold: ")) || c.status == 0 && lines != 0 {
				t.Errorf("stderr is no single line: %q", i.err)
			}
		})
	}
}

func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	p := newPlanet(t)
	p.setFault(func(w http.ResponseWriter, _ *http.Request) bool { problem(w, api.CodeAmbiguous); return true })
	i := p.on(t, "", "kv", "put", "k", "v", "--timeout", "2s") // so long that something is sent
	if i.status != 4 || !strings.Contains(i.err, "read the key before you try again") {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
	p.setFault(func(w http.ResponseWriter, _ *http.Request) bool { problem(w, api.CodeUnavailable); return true })
	// The node asks the client to wait for longer than its timeout, which ends in the pause with no request in flight.
	if i := p.on(t, "", "kv", "put", "k", "v", "--timeout", "900ms"); i.status != 1 || !strings.Contains(i.err, "nothing was changed") {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
}

func TestNoListener(t *testing.T) {
	t.Parallel()
	p := newPlanet(t)
	p.Close()
	i := p.on(t, "", "kv", "get", "k", "--timeout", "2s")
	if i.status != 1 || !strings.Contains(i.err, `start one, for example with "edgehold dev"`) {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
}

func TestVersionCommand(t *testing.T) {
	var b build
	if err := json.Unmarshal([]byte(new(invocation).run("version", "-o", "json").out), &b); err != nil {
		t.Fatal(err)
	}
	if b.Version == "" || b.Commit == "" || !strings.HasPrefix(b.Go, "go") {
		t.Errorf("%+v", b)
	}
	for _, args := range [][]string{{"version"}, {"--version"}, {"-v"}} {
		if i := new(invocation).run(args...); i.status != 0 || !strings.HasPrefix(i.out, "edgehold ") || strings.Count(i.out, "\n") != 3 {
			t.Errorf("%v: exit %d, %q", args, i.status, i.out)
		}
	}
	if i := (&invocation{env: map[string]string{"EDGEHOLD_VERSION": "1.2.3"}}).run(); i.status != 0 { // as images of containers set it
		t.Errorf("exit %d, %s", i.status, i.err)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if i := new(invocation).run("completion", shell); i.status != 0 || !strings.Contains(i.out, "edgehold") {
			t.Errorf("%s: exit %d, %s", shell, i.status, i.err)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"kv", "get", "--help"}, {"help", "import"}} {
		if i := new(invocation).run(args...); i.status != 0 || !strings.Contains(i.out, "Usage:") || i.err != "" {
			t.Errorf("%v: exit %d, %s", args, i.status, i.err)
		}
	}
}
