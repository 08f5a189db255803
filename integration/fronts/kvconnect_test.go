package fronts

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/kvconnect"
	"github.com/edgehold/edgehold/cluster/local"
	"github.com/edgehold/edgehold/integration/clients"
)

// TestKVConnect: the program testdata/kvconnect.mjs, which uses every method of a Deno.Kv, runs in Deno and, with @deno/kv, in Node,
// against an edge 200 ms from home. It also waits for a read that the edge answers by its leases.
func TestKVConnect(t *testing.T) {
	t.Parallel()
	edge, dir := farEdge(t), t.TempDir()
	script, err := filepath.Abs(filepath.Join("testdata", "kvconnect.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	env := func(database string) []string {
		database = fmt.Sprintf("%s-%d", database, time.Now().UnixNano()) // the planet may have served an earlier run
		return []string{"KV_URL=" + edge + "/kvconnect/" + database, "DENO_KV_ACCESS_TOKEN=" + kvconnect.Anonymous, "DENO_DIR=" + dir}
	}
	t.Run("Deno", func(t *testing.T) {
		t.Parallel()
		wantOK(t, run(t, t.TempDir(), env("deno"), clients.Need(t, "deno"), "run", "-A", "--no-config", "--unstable-kv", script))
	})
	t.Run("Node", func(t *testing.T) {
		t.Parallel()
		clients.NeedPackage(t, "@deno/kv")
		dir := t.TempDir()
		if err := os.Symlink(filepath.Join(clients.Dir(), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "kvconnect.mjs"), string(text))
		wantOK(t, run(t, dir, env("node"), clients.Need(t, "node"), "kvconnect.mjs"))
	})
}

func wantOK(t *testing.T, printed string) {
	t.Helper()
	if lines := strings.Fields(printed); len(lines) == 0 || lines[len(lines)-1] != "ok" {
		t.Errorf("the program printed %s", printed)
	}
}

// TestKVConnectRestart: over TLS, with a token for the keys of one database alone, Deno goes on reading, writing and watching when its
// edge has restarted, and cannot open another database.
func TestKVConnectRestart(t *testing.T) {
	if testing.Short() {
		t.Skip("real clients say nothing about races")
	}
	t.Parallel()
	deno := clients.Need(t, "deno")
	ctx, cancel := context.WithTimeout(t.Context(), runBound)
	defer cancel()
	dir := t.TempDir()
	wan := filepath.Join(dir, "wan.yaml")
	write(t, wan, fmt.Sprintf("links: [{a: %s, b: %s, rtt_ms: %d}]\n", home, away, roundTrip.Milliseconds()))
	p, err := local.Start(ctx, local.Config{Regions: []api.RegionID{home, away}, Replicas: 1, Port: -1, WAN: wan, Secure: true, LeaseTerm: 2 * time.Second, Fronts: []string{kvconnect.Name}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }() // the planet has nothing to keep
	err = p.SetPolicy(ctx, api.Policy{Name: "app", Rules: []api.PolicyRule{{Prefix: "deno/app/", Read: true, List: true, Write: true}}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := p.NewToken(ctx, "app", "app")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "ca.pem"), string(p.Root()))
	script, err := filepath.Abs(filepath.Join("testdata", "kvrestart.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	edge := p.Nodes()[len(p.Nodes())-1]
	cmd := exec.CommandContext(ctx, deno, "run", "-A", "--no-config", "--unstable-kv", script)
	cmd.Dir, cmd.WaitDelay = dir, 5*time.Second
	cmd.Env = append(plainEnv(), "KV_URL="+edge.URL+"/kvconnect/app", "DENO_KV_ACCESS_TOKEN="+token, "DENO_CERT="+filepath.Join(dir, "ca.pem"), "DENO_DIR="+dir)
	in, out := pipes(t, cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	last, restarted := "", false
	for said.Scan() {
		last = said.Text()
		if last == "restart" {
			if err := p.Restart(ctx, edge.Node); err != nil {
				t.Error(err)
			}
			restarted = true
			_, _ = io.WriteString(in, "\n") // it has ended if it does not read
		}
	}
	if err := cmd.Wait(); err != nil || last != "ok" || !restarted {
		t.Errorf("it ended with %v and said %q; restarted: %v\n%s", err, last, restarted, cmd.Stderr)
	}
}

// pipes returns the input and the output of a command. What it says of errors is kept.
func pipes(t *testing.T, cmd *exec.Cmd) (io.Writer, io.Reader) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = new(strings.Builder)
	return in, out
}
