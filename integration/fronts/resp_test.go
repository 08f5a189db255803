package fronts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/local"
	"github.com/edgehold/edgehold/integration/clients"
)

// respAddress is where a node answers RESP: its one port.
func respAddress(t testing.TB, node string) string {
	t.Helper()
	u, err := url.Parse(node)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// redisCLI runs redis-cli on a node, with the lines as its input, and returns the lines that it prints.
func redisCLI(t testing.TB, node string, input string, flags ...string) []string {
	t.Helper()
	host, port, err := net.SplitHostPort(respAddress(t, node))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "commands")
	write(t, file, input)
	args := append([]string{"-c", `exec "$0" "$@" < ` + file, clients.Need(t, "redis-cli"), "-h", host, "-p", port}, flags...)
	return strings.Split(strings.TrimRight(run(t, t.TempDir(), nil, "sh", args...), "\n"), "\n")
}

// TestRESPCommandLine: redis-cli writes at an edge 200 ms from home and reads under a lease.
func TestRESPCommandLine(t *testing.T) {
	t.Parallel()
	edge := farEdge(t)
	got := redisCLI(t, edge, "SELECT 5\nDEL k n m\nSET k v EX 1000\nGET k\nAPPEND k w\nSTRLEN k\nINCR n\nINCR n\nTTL k\nMULTI\nGET k\nSET m 1\nEXPIRE m 50\nTTL m\nEXEC\nSETNX m 2\nNOSUCH x\nDEL k n m\n")
	if n, err := strconv.Atoi(got[8]); err == nil && n > 900 && n <= 1000 {
		got[8] = "ttl"
	}
	want := "OK|0|OK|v|2|2|1|2|ttl|OK|QUEUED|QUEUED|QUEUED|QUEUED|vw|OK|1|50|0|ERR unknown command 'NOSUCH', with args beginning with: 'x' ||3"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	redisCLI(t, edge, "SET leased v\n")
	leased := func() (n int) {
		for _, line := range redisCLI(t, edge, "INFO stats\n") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "reads_by_lease:"); ok {
				n, _ = strconv.Atoi(v)
			}
		}
		return n
	}
	before, gets := leased(), strings.Repeat("GET leased\n", 20)
	for deadline := time.Now().Add(30 * time.Second); leased() < before+20; {
		redisCLI(t, edge, gets)
		if time.Now().After(deadline) {
			t.Fatal("no read was served under a lease")
		}
	}
}

// TestRESPBenchmark: Redis's own load runs, pipelined and not. It ends at the first error.
func TestRESPBenchmark(t *testing.T) {
	t.Parallel()
	host, port, err := net.SplitHostPort(respAddress(t, homeEdge(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, pipeline := range []string{"1", "16"} {
		out := run(t, t.TempDir(), nil, clients.Need(t, "redis-benchmark"), "-h", host, "-p", port, "-t", "ping_mbulk,set,get,incr,mset", "-n", "400", "-c", "8", "-P", pipeline, "-r", "100", "--csv")
		for _, test := range []string{`"PING_MBULK"`, `"SET"`, `"GET"`, `"INCR"`, `"MSET (10 keys)"`} {
			if !strings.Contains(out, test) {
				t.Errorf("pipelines of %s: no %s in\n%s", pipeline, test, out)
			}
		}
	}
}

// script returns the path of a test's program, in a folder from which Node finds the packages.
func script(t testing.TB, name string) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Symlink(filepath.Join(clients.Dir(), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join("testdata", "resp", name))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, name)
	write(t, path, string(b))
	return dir, path
}

// TestRESPNode: the two clients of Node.
func TestRESPNode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pkg, file string
		edge      func(testing.TB) string
	}{{"ioredis", "ioredis.mjs", farEdge}, {"redis", "node-redis.mjs", homeEdge}} {
		t.Run(c.pkg, func(t *testing.T) {
			t.Parallel()
			edge := c.edge(t)
			clients.NeedPackage(t, c.pkg)
			dir, file := script(t, c.file)
			run(t, dir, []string{"RESP_ADDRESS=" + respAddress(t, edge)}, clients.Need(t, "node"), file)
		})
	}
}

// TestRESPKeyv: the test suite of keyv over its Redis adapter. A test that fails is tried again: some of its keys live for a second,
// which a busy machine may need between two lines.
func TestRESPKeyv(t *testing.T) {
	t.Parallel()
	edge := homeEdge(t)
	clients.NeedPackage(t, "@keyv/redis")
	dir, _ := script(t, "keyv.test.mjs")
	run(t, dir, []string{"RESP_ADDRESS=" + respAddress(t, edge)}, clients.Need(t, "vitest"), "run", "--root", dir, "--no-cache", "--retry", "3")
}

// TestRESPPython: redis-py.
func TestRESPPython(t *testing.T) {
	t.Parallel()
	clients.NeedVenv(t)
	edge := homeEdge(t)
	run(t, t.TempDir(), []string{"RESP_ADDRESS=" + respAddress(t, edge)}, clients.Need(t, "python3"), absolute(t, "testdata/resp/redis_py.py"))
}

func absolute(t testing.TB, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRESPGo: go-redis at an edge 200 ms from home: strings, pipelines, transactions, scans.
func TestRESPGo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := redis.NewClient(&redis.Options{Addr: respAddress(t, farEdge(t)), DB: 6})
	defer func() { _ = c.Close() }()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Del(ctx, "n").Err())
	must(c.Set(ctx, "a", "1", time.Minute).Err())
	if v, err := c.Get(ctx, "a").Result(); v != "1" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	if _, err := c.Get(ctx, "none").Result(); !errors.Is(err, redis.Nil) {
		t.Errorf("an absent key: %v", err)
	}
	if d, err := c.PTTL(ctx, "a").Result(); d <= 0 || d > time.Minute || err != nil {
		t.Errorf("it lives for %v, %v", d, err)
	}
	_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range 50 {
			p.Set(ctx, fmt.Sprintf("p:%02d", i), i, 0)
		}
		return nil
	})
	must(err)
	var keys []string
	for i := c.Scan(ctx, 0, "p:*", 20).Iterator(); i.Next(ctx); {
		keys = append(keys, i.Val())
	}
	if len(keys) != 50 || keys[0] != "p:00" || keys[49] != "p:49" {
		t.Errorf("found %q", keys)
	}
	add := func(tx *redis.Tx) error {
		n, err := tx.Get(ctx, "n").Int()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Set(ctx, "n", n+1, 0); return nil })
		return err
	}
	must(c.Watch(ctx, add, "n"))
	err = c.Watch(ctx, func(tx *redis.Tx) error {
		must(c.Set(ctx, "n", 10, 0).Err()) // on another connection
		return add(tx)
	}, "n")
	if v, _ := c.Get(ctx, "n").Int(); v != 10 || !errors.Is(err, redis.TxFailedErr) {
		t.Errorf("a watched key was changed: n is %d, %v", v, err)
	}
}

// TestRESPTokens: over TLS, with a token that redis-cli sends: the client may do what its policy says, and no more.
func TestRESPTokens(t *testing.T) {
	if testing.Short() {
		t.Skip("real clients say nothing about races")
	}
	t.Parallel()
	cli := clients.Need(t, "redis-cli")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := local.Start(ctx, local.Config{Regions: []api.RegionID{home}, Replicas: 1, Edges: -1, Port: -1, WAN: "off", Secure: true, Fronts: []string{"resp"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }() // the planet has nothing to keep
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ca.pem"), string(p.Root()))
	host, port, _ := net.SplitHostPort(respAddress(t, p.Nodes()[0].URL))
	ask := func(token string, command ...string) string {
		args := append([]string{"-h", host, "-p", port, "--tls", "--cacert", filepath.Join(dir, "ca.pem")}, command...)
		var env []string
		if token != "" {
			env = []string{"REDISCLI_AUTH=" + token}
		}
		return strings.TrimSpace(run(t, dir, env, cli, args...))
	}
	all, err := p.NewToken(ctx, "writer", "all")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := p.NewToken(ctx, "reader", "read-all")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ token, command, want string }{
		{all, "SET k v", "OK"}, {reader, "GET k", "v"}, {reader, "SET k w", "NOPERM this user has no permissions to access one of the keys used as arguments"},
		{reader, "EXPIRE k 100", "NOPERM this user has no permissions to access one of the keys used as arguments"}, {all, "GET k", "v"}, {"", "GET k", "NOAUTH Authentication required."},
	} {
		if got := ask(c.token, strings.Fields(c.command)...); got != c.want {
			t.Errorf("%s: %q, want %q", c.command, got, c.want)
		}
	}
}
