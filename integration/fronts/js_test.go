package fronts

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/integration/clients"
)

const jsDir = "../../api/js"

// packed is the npm package edgehold as it would be published, in a project that has it in its node_modules beside the files of test.
type packed struct {
	once sync.Once
	dir  string
	err  error
}

var jsPackage packed

// project returns the folder of the project. The first test that needs it makes it.
func (p *packed) project(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(jsDir, "node_modules", "typescript")); err != nil {
		clients.Missing(t, "typescript in api/js")
	}
	npm := clients.Need(t, "npm")
	p.once.Do(func() { p.err = p.make(npm) })
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.dir
}

func (p *packed) make(npm string) (err error) {
	if p.dir, err = os.MkdirTemp("", "edgehold-js-"); err != nil {
		return err
	}
	cmd := exec.Command(npm, "pack", "--silent", "--pack-destination", p.dir)
	cmd.Dir, cmd.Env = jsDir, plainEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm pack: %w\n%s", err, out)
	}
	archives, err := filepath.Glob(filepath.Join(p.dir, "edgehold-*.tgz"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("npm pack made %v, %w", archives, err)
	}
	modules := filepath.Join(p.dir, "node_modules")
	if err := os.Mkdir(modules, 0o700); err != nil {
		return err
	}
	if out, err := exec.Command("tar", "-xzf", archives[0], "-C", modules).CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w\n%s", err, out)
	}
	if err := os.Rename(filepath.Join(modules, "package"), filepath.Join(modules, "edgehold")); err != nil {
		return err
	}
	if err := os.CopyFS(p.dir, os.DirFS(filepath.Join(jsDir, "test"))); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.dir, "package.json"), []byte(`{"type":"module","dependencies":{"edgehold":"*"}}`), 0o600)
}

func (p *packed) remove() {
	if p.dir != "" {
		_ = os.RemoveAll(p.dir) // temporary
	}
}

// TestJSInNode runs the tests of the package with the runner of Node, at the edge 200 ms from home and at the one that is near.
func TestJSInNode(t *testing.T) {
	t.Parallel()
	env := []string{"EDGEHOLD_FAR=" + farEdge(t), "EDGEHOLD_HOME=" + homeEdge(t)}
	dir := jsPackage.project(t)
	out := run(t, dir, env, clients.Need(t, "node"), "--test", "--test-reporter=spec", "surface.test.mjs", "retry.test.mjs", "bare.test.mjs")
	if !strings.Contains(out, "fail 0") || strings.Contains(out, "pass 0") {
		t.Errorf("the runner says neither that it ran nor that none has failed:\n%s", out)
	}
}

// TestJSReadme runs the first programs of the package's README and of docs/js.md, and compares what the former prints with what the
// README says.
func TestJSReadme(t *testing.T) {
	t.Parallel()
	url := homeEdge(t)
	dir := jsPackage.project(t)
	readme, want := firstProgram(t, filepath.Join(dir, "node_modules", "edgehold", "README.md"), "js")
	if n := strings.Count(readme, "\n"); n > 10 {
		t.Errorf("the first program has %d lines", n)
	}
	page, _ := firstProgram(t, "../../docs/js.md", "js")
	for name, program := range map[string]string{"readme.mjs": readme, "page.mjs": page} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(atNode(program, url)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	node := clients.Need(t, "node")
	if got := run(t, dir, nil, node, "readme.mjs"); got != want {
		t.Errorf("it prints\n%s\nand the README says\n%s", got, want)
	}
	run(t, dir, nil, node, "page.mjs")
}

// TestJSTypes compiles a program in TypeScript that uses the package.
func TestJSTypes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := jsPackage.project(t)
	compile(t, dir, "types.ts")
}

// compile checks a file of the project in TypeScript, strictly.
func compile(t *testing.T, dir, file string, more ...string) {
	t.Helper()
	tsc, err := filepath.Abs(filepath.Join(jsDir, "node_modules", "typescript", "bin", "tsc"))
	if err != nil {
		t.Fatal(err)
	}
	args := []string{tsc, "--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,esnext.disposable", "--module", "nodenext", file}
	run(t, dir, nil, clients.Need(t, "node"), append(args, more...)...)
}

// TestJSUnstorage runs the driver of unstorage in the real unstorage, and compiles it beside its types.
func TestJSUnstorage(t *testing.T) {
	t.Parallel()
	url := homeEdge(t)
	dir := jsPackage.project(t)
	link := filepath.Join(dir, "node_modules", "unstorage")
	if err := os.Symlink(clients.NeedPackage(t, "unstorage"), link); err != nil {
		t.Fatal(err)
	}
	out := run(t, dir, []string{"EDGEHOLD_HOME=" + url}, clients.Need(t, "node"), "--test", "--test-reporter=spec", "unstorage.mjs")
	if !strings.Contains(out, "fail 0") || strings.Contains(out, "pass 0") {
		t.Errorf("the runner says neither that it ran nor that none has failed:\n%s", out)
	}
	compile(t, dir, "unstorage-types.ts", "--skipLibCheck") // those of unstorage name packages that are not here
}

// TestJSInDeno runs the smoke test in Deno, which finds the package as it finds others.
func TestJSInDeno(t *testing.T) {
	t.Parallel()
	url := homeEdge(t)
	dir := jsPackage.project(t)
	script := filepath.Join(dir, "deno.mjs")
	text := fmt.Sprintf("import { smoke } from './smoke.mjs'\nawait smoke(%q, 'js/deno/')\nconsole.log('passed')\n", url)
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"DENO_DIR=" + t.TempDir()}
	out := run(t, dir, env, clients.Need(t, "deno"), "run", "--node-modules-dir=manual", "--allow-net", script)
	if !strings.Contains(out, "passed") {
		t.Error(out)
	}
}

// TestJSInBun runs the tests of the package with the runner of Bun, and the smoke test.
func TestJSInBun(t *testing.T) {
	t.Parallel()
	env := []string{"EDGEHOLD_FAR=" + farEdge(t), "EDGEHOLD_HOME=" + homeEdge(t)}
	dir := jsPackage.project(t)
	out := run(t, dir, env, clients.Need(t, "bun"), "test", "--concurrent", "--timeout=60000", "surface.test.mjs", "retry.test.mjs")
	if !strings.Contains(out, " 0 fail") || strings.Contains(out, " 0 pass") {
		t.Errorf("the runner says neither that it ran nor that none has failed:\n%s", out)
	}
}

// workerConfig is the configuration of a workerd whose Worker has the package, the network and a service binding.
const workerConfig = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "edge", external = (address = %q, http = ())),
    (name = "internet", network = (allow = ["public", "private", "local"])),
  ],
);
const main :Workerd.Worker = (
  compatibilityDate = "2026-01-01",
  modules = [
    (name = "worker.mjs", esModule = embed "worker.mjs"),
    (name = "smoke.mjs", esModule = embed "smoke.mjs"),
    (name = "edgehold", esModule = embed "node_modules/edgehold/dist/edgehold.js"),
  ],
  bindings = [(name = "URL", text = %q), (name = "PREFIX", text = "js/workerd/"), (name = "EDGE", service = "edge")],
);
`

// TestJSInWorkerd runs the smoke test in a Worker: over its network, and through a service binding.
func TestJSInWorkerd(t *testing.T) {
	t.Parallel()
	url := homeEdge(t)
	dir := jsPackage.project(t)
	config := filepath.Join(dir, "config.capnp")
	if err := os.WriteFile(config, fmt.Appendf(nil, workerConfig, strings.TrimPrefix(url, "http://"), url), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, nil, clients.Need(t, "workerd"), "test", config)
}

const smokePage = `<!doctype html><meta charset="utf-8"><title>smoke</title>
<script type="importmap">{"imports": {"edgehold": "/node_modules/edgehold/dist/edgehold.js"}}</script>
<script type="module">
import { smoke } from "/smoke.mjs"
smoke(%q, "js/page/").then(() => "passed", (e) => "failed: " + e).then((body) => fetch("/report", { method: "POST", body }))
</script>`

// TestJSInBrowser runs the smoke test in a page of another origin than the node's, in Chromium if it is installed.
func TestJSInBrowser(t *testing.T) {
	t.Parallel()
	url := homeEdge(t)
	dir := jsPackage.project(t)
	chromium := clients.Look("chromium", "chromium-browser", "google-chrome")
	if chromium == "" {
		t.Skip("Chromium is not installed: no page has run the package here")
	}
	reports := make(chan string, 1)
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServer(http.Dir(dir)))
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, smokePage, url) // the browser may have gone
	})
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			b = []byte(err.Error())
		}
		select {
		case reports <- string(b):
		default: // the first report counts
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	profile := filepath.Join(dir, "chromium") // not a TempDir: processes of Chromium may outlive the one that is ended here
	cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--user-data-dir="+profile,
		"--remote-debugging-port=0", server.URL+"/page")
	cmd.Env = plainEnv()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill() // it does not end by itself
		_ = cmd.Wait()         // killed
	}()
	select {
	case got := <-reports:
		if got != "passed" {
			t.Error(got)
		}
	case <-time.After(runBound):
		t.Error("the page reports nothing")
	}
}
