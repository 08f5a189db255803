package fronts

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/integration/clients"
)

// TestMiniflare: the example edgehold-kv is the KV namespace of a Worker in Miniflare.
func TestMiniflare(t *testing.T) {
	edge := homeEdge(t)
	t.Parallel()
	clients.NeedPackage(t, "miniflare")
	dir := t.TempDir()
	for name, from := range map[string]string{
		"miniflare.mjs": "testdata/workerskv/miniflare.mjs", "app.mjs": "testdata/workerskv/app.mjs", "check.mjs": "testdata/workerskv/check.mjs",
		"edgehold-kv.mjs": "../../examples/workers/edgehold-kv.mjs",
	} {
		copyFile(t, filepath.Join(dir, name), from)
	}
	if err := os.Symlink(filepath.Join(clients.Dir(), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	out := run(t, dir, nil, clients.Need(t, "node"), "miniflare.mjs", edge)
	if !strings.Contains(out, "passed") {
		t.Error(out)
	}
}

func copyFile(t testing.TB, to, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, string(b))
}

// TestWrangler: the example edgehold-kv is the KV namespace of an unchanged Worker under wrangler dev.
func TestWrangler(t *testing.T) {
	edge := homeEdge(t)
	t.Parallel()
	wrangler := clients.Need(t, "wrangler")
	dir := t.TempDir()
	for name, from := range map[string]string{
		"app.mjs": "testdata/workerskv/app.mjs", "check.mjs": "testdata/workerskv/check.mjs", "edgehold-kv.mjs": "../../examples/workers/edgehold-kv.mjs",
		"edgehold-kv.jsonc": "../../examples/workers/edgehold-kv.jsonc",
	} {
		copyFile(t, filepath.Join(dir, name), from)
	}
	settings, err := os.ReadFile(filepath.Join(dir, "edgehold-kv.jsonc"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "edgehold-kv.jsonc"), strings.Replace(string(settings), "http://127.0.0.1:7411", edge, 1))
	write(t, filepath.Join(dir, "wrangler.jsonc"), `{"name": "app", "main": "app.mjs", "compatibility_date": "2026-04-01",
  "services": [{"binding": "KV", "service": "edgehold-kv"}]}`)
	app := wranglerDev(t, wrangler, dir, "-c", "wrangler.jsonc", "-c", "edgehold-kv.jsonc")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, app+"/?prefix=wrangler/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // it has been read
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "passed" {
		t.Errorf("%s: %s, %v", res.Status, body, err)
	}
}

// wranglerDev runs wrangler dev until the test ends, and returns the URL of the Worker.
func wranglerDev(t testing.TB, wrangler, dir string, args ...string) (url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, wrangler, append([]string{"dev", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(plainEnv(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "CI=true", "WRANGLER_SEND_METRICS=false", "CLOUDFLARE_CF_FETCH_ENABLED=false")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends its own processes
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, over := make(chan string, 1), make(chan string, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(out); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			if _, at, ok := strings.Cut(lines.Text(), "Ready on "); ok {
				ready <- strings.TrimSpace(at)
			}
		}
		over <- all.String()
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case printed := <-over:
			if t.Failed() {
				t.Log(printed)
			}
		case <-time.After(2 * cmd.WaitDelay):
			t.Error("wrangler dev does not end")
		}
		_ = cmd.Wait() // it was interrupted
	})
	select {
	case url = <-ready:
	case <-time.After(runBound):
		t.Fatal("wrangler dev is not ready in time")
	}
	return url
}
