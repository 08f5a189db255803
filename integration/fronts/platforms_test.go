package fronts

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/integration/clients"
)

// platforms holds what `go run ./integration/platforms` has installed beside the clients, and has each platform print its line.
var platforms = flag.String("platforms", "", "folder of the further runtimes that make platforms installs")

// seen is what a program of a platform saw at the edge beside it, 200 ms from home.
type seen struct {
	Value     string  `json:"value"`     // that it has read
	ReadMs    float64 `json:"read_ms"`   // the shortest read
	Elsewhere string  `json:"elsewhere"` // what it has written, read at home
	ColdMs    float64 `json:"cold_ms"`   // from the start of the process to the first answer, if the platform is about that
}

// flagged is the value that programs read, and wrote one that only this run writes.
const flagged = "flagged"

var wrote = fmt.Sprintf("w%d", time.Now().UnixNano())

// TestPlatforms: a program of each platform of the edge world reads under a lease at the edge beside it, and writes what is then read at
// home. Runtimes that take long to install run with make platforms alone.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	for _, p := range []struct {
		name, part string
		run        func(t *testing.T) seen
	}{
		{"Workers", "workerd: KV binding, service binding", onWorkers},
		{"Deno", "deno: Deno.openKv", onDeno},
		{"Lambda@Edge", "Node.js: viewer-request handler, npm edgehold", onLambda},
		{"Fastly Compute", "js-compute, viceroy: the edge as backend", onFastly},
		{"Wasmtime", "a component on wasi:keyvalue", onWasmtime},
		{"Wasmer", "core Wasm, functions of a Go host", onWasmer},
		{"wazero", "core Wasm, an embedded edge", onWazero},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Cleanup(func() {
				if *platforms != "" && t.Skipped() {
					fmt.Printf("platform: %-15s %-46s left out: it is not installed\n", p.name, p.part)
				}
			})
			s := p.run(t)
			if s.Value != flagged || s.Elsewhere != wrote {
				t.Errorf("it read %q and wrote %q, not %q and %q", s.Value, s.Elsewhere, flagged, wrote)
			}
			if limit := float64(roundTrip.Milliseconds()); s.ReadMs <= 0 || s.ReadMs >= limit {
				t.Errorf("its shortest read took %.1f ms: home is %.0f ms away", s.ReadMs, limit)
			}
			if *platforms != "" && !t.Failed() {
				cold := ""
				if s.ColdMs > 0 {
					cold = fmt.Sprintf("; cold %.0f ms", s.ColdMs)
				}
				fmt.Printf("platform: %-15s %-46s read under lease %.1f ms, written, read back%s\n", p.name, p.part, s.ReadMs, cold)
			}
		})
	}
}

// read returns what a program has printed, a seen as its last line.
func read(t *testing.T, printed string) (s seen) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	return s
}

// ask sends a request of plain HTTP, and returns the body of the answer, which must be a success.
func ask(t *testing.T, method, url, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // it is read to its end
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s, %v", method, url, res.Status, b, err)
	}
	return string(b)
}

// put writes a value at home.
func put(t *testing.T, key, value string) {
	t.Helper()
	ask(t, http.MethodPut, homeEdge(t)+"/v1/kv/"+key, value)
}

// platformFiles copies files of testdata/platforms into a folder.
func platformFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join("testdata", "platforms", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, filepath.Base(name)), string(b))
	}
}

func onWorkers(t *testing.T) seen {
	far, near := farEdge(t), homeEdge(t)
	put(t, "kv/platforms/flag", flagged)
	url := serve(t, worker{
		modules:  []string{"worker.mjs=testdata/platforms/worker.mjs"},
		bindings: []string{`(name = "KV", kvNamespace = "far")`, `(name = "HOME", kvNamespace = "near")`, `(name = "EDGE", service = "edge")`},
		services: []string{
			kvService("far", far, "platforms"), kvService("near", near, "platforms"),
			fmt.Sprintf(`(name = "edge", external = (address = %q, http = ())),`, strings.TrimPrefix(far, "http://")),
		},
		sockets: `(name = "http", address = "127.0.0.1:0", http = (), service = "main")`,
	}.configure(t))
	s := quickest(t, url+"/flag")
	if native := ask(t, http.MethodGet, url+"/native", ""); native != "lease "+flagged {
		t.Errorf("by its service binding it read %q", native)
	}
	ask(t, http.MethodPost, url+"/"+wrote, "")
	s.Elsewhere = ask(t, http.MethodGet, url+"/home", "")
	return s
}

// quickest reads by a platform that serves HTTP until a lease answers.
func quickest(t *testing.T, url string) seen {
	t.Helper()
	s := seen{ReadMs: 1e9}
	for quick, end := 0, time.Now().Add(20*time.Second); quick < 5 && time.Now().Before(end); {
		began := time.Now()
		s.Value = ask(t, http.MethodGet, url, "")
		took := time.Since(began)
		if s.ReadMs = min(s.ReadMs, float64(took.Microseconds())/1000); took < roundTrip/2 {
			quick++
		}
	}
	return s
}

func onDeno(t *testing.T) seen {
	far, near, dir := farEdge(t), homeEdge(t), t.TempDir()
	platformFiles(t, dir, "deno.mjs", "steps.mjs")
	env := []string{"DENO_DIR=" + t.TempDir(), "DENO_KV_ACCESS_TOKEN=anonymous"}
	return read(t, run(t, dir, env, clients.Need(t, "deno"), "run", "--quiet", "--unstable-kv", "--allow-net", "--allow-env", "deno.mjs", far, near, wrote))
}

func onLambda(t *testing.T) seen {
	far, near, dir := farEdge(t), homeEdge(t), jsPackage.project(t)
	platformFiles(t, dir, "lambda.mjs", "lambda-run.mjs", "steps.mjs")
	put(t, "platforms/lambda/flag", flagged)
	put(t, "platforms/lambda/session/"+wrote, "alice")
	s := read(t, run(t, dir, []string{"EDGE=" + far}, clients.Need(t, "node"), "lambda-run.mjs", near, wrote))
	if s.ColdMs <= 0 || s.Elsewhere != "1" {
		t.Errorf("the visit was counted as %q, and the cold start is %.0f ms", s.Elsewhere, s.ColdMs)
	}
	s.Elsewhere = wrote // it is the name of the counter
	return s
}

func onWasmtime(t *testing.T) seen {
	far, near, dir := farEdge(t), homeEdge(t), t.TempDir()
	python := filepath.Join(clients.Dir(), "venv", "bin", "python3")
	if exec.Command(python, "-c", "import wasmtime.component").Run() != nil {
		clients.Missing(t, "Python's package wasmtime")
	}
	from, err := filepath.Abs(filepath.Join("testdata", "platforms", "wasmtime"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, nil, clients.Need(t, "componentize-qjs"), "--wit", filepath.Join(from, "wit"), "--js", filepath.Join(from, "guest.js"), "-o", "guest.wasm")
	put(t, "platforms/wasmtime/flag", flagged)
	printed := run(t, dir, nil, python, filepath.Join(from, "host.py"), "guest.wasm", far, near, wrote)
	for _, part := range []string{
		`"exists": true`, `"counter": 5`, `"many": ["a1", "b2", null]`, `"cas": {"was": "another's", "tries": 2}`,
		`"keys": ["counter", "flag", "seen", "swapped"]`,
	} {
		if !strings.Contains(printed, part) {
			t.Errorf("%s is not in %s", part, printed)
		}
	}
	return read(t, printed)
}

// handlerWasm is the handler of examples/wasm-edge.
const handlerWasm = "../../examples/wasm-edge/handler.wasm"

// page is the key of the page of a platform that runs that handler; its path is the name that only this run uses.
func page(t *testing.T) {
	t.Helper()
	put(t, "us-east/pages/"+wrote, flagged)
}

// counted is what a platform that runs that handler saw: it counts a visit of the page.
func counted(t *testing.T, s seen, visits string) seen {
	t.Helper()
	if s.Elsewhere != visits {
		t.Errorf("the visit was counted as %q", s.Elsewhere)
	}
	s.Elsewhere = wrote // it is the name of the counter
	return s
}

func onWasmer(t *testing.T) seen {
	far, near := farEdge(t), homeEdge(t)
	const module = "../platforms/wasmer"
	list := exec.Command("go", "list", "-C", module, "-m", "-f", "{{.Dir}}", "github.com/wasmerio/wasmer-go")
	list.Env = append(os.Environ(), "GOPROXY=off")
	if out, err := list.Output(); err != nil || len(bytes.TrimSpace(out)) == 0 {
		clients.Missing(t, "the Go module of Wasmer")
	}
	program := filepath.Join(t.TempDir(), "wasmer")
	run(t, ".", nil, "go", "build", "-C", module, "-o", program, ".")
	page(t)
	return counted(t, read(t, run(t, ".", nil, program, handlerWasm, far, near, wrote)), "1")
}

func onWazero(t *testing.T) seen {
	if *platforms == "" {
		t.Skip("examples/wasm-edge has a test of its own")
	}
	server := strings.TrimPrefix(nodeURL(t, api.RoleServer, home), "http://")
	program := filepath.Join(t.TempDir(), "wasm-edge")
	run(t, ".", nil, "go", "build", "-o", program, "../../examples/wasm-edge")
	b, err := os.ReadFile(handlerWasm)
	if err != nil {
		t.Fatal(err)
	}
	put(t, "us-east/handlers/site", string(b))
	page(t)
	visits := ask(t, http.MethodGet, homeEdge(t)+"/v1/kv?prefix=us-east/visits/"+wrote, "")
	before := strings.Count(visits, wrote) // another platform has counted a visit
	url := startWasmEdge(t, program, server) + "/site/" + wrote
	s := quickest(t, url)
	ask(t, http.MethodPost, url, "")
	s.Elsewhere = ask(t, http.MethodGet, homeEdge(t)+"/v1/kv/us-east/visits/"+wrote, "")
	return counted(t, s, fmt.Sprint(before+1))
}

// startWasmEdge runs examples/wasm-edge in away until the test ends, and returns its URL.
func startWasmEdge(t *testing.T, program, server string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "-join", server, "-region", string(away), "-listen", "127.0.0.1:0", "-wan", filepath.Join(shared.dir, "wan.yaml"))
	var errs bytes.Buffer
	cmd.Env, cmd.Stderr = plainEnv(), &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it removes its edge from the cluster
		_ = cmd.Wait()                       // it was stopped
	})
	line := make(chan string, 1)
	go func() {
		var b [1024]byte
		n, _ := out.Read(b[:]) // nothing means that it has ended
		line <- string(b[:n])
	}()
	select {
	case text := <-line:
		if _, url, ok := strings.Cut(text, "served at "); ok {
			return strings.TrimSuffix(strings.TrimSpace(url), "/NAME/")
		}
		t.Fatalf("it prints %q %s", text, errs.String())
	case <-time.After(30 * time.Second):
		t.Fatal("it does not serve within 30 s")
	}
	return ""
}

// TestHandlerIsItsText: the handler of examples/wasm-edge is what its text says.
func TestHandlerIsItsText(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	made := filepath.Join(t.TempDir(), "handler.wasm")
	text, err := filepath.Abs("../../examples/wasm-edge/handler.wat")
	if err != nil {
		t.Fatal(err)
	}
	run(t, t.TempDir(), nil, clients.Need(t, "wat2wasm"), text, "-o", made)
	want, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	if have, err := os.ReadFile(handlerWasm); err != nil || !bytes.Equal(have, want) {
		t.Errorf("examples/wasm-edge/handler.wasm is not what wat2wasm makes of handler.wat: %v", err)
	}
}

// onFastly runs the service that make platforms has built.
func onFastly(t *testing.T) seen {
	far, near := farEdge(t), homeEdge(t)
	service, viceroy := filepath.Join(*platforms, "fastly", "service.wasm"), filepath.Join(*platforms, "cargo", "bin", "viceroy")
	for _, file := range []string{service, viceroy} {
		if _, err := os.Stat(file); err != nil || *platforms == "" {
			t.Skip("make platforms builds js-compute's service and viceroy, which takes minutes")
		}
	}
	dir, address := t.TempDir(), freeAddress(t)
	write(t, filepath.Join(dir, "fastly.toml"), fmt.Sprintf(`manifest_version = 3
name = "edgehold"
language = "javascript"
[local_server.backends.edge]
url = %q
`, far))
	var output bytes.Buffer
	cmd := exec.CommandContext(t.Context(), viceroy, "serve", "-C", filepath.Join(dir, "fastly.toml"), "--addr", address, service)
	cmd.Env, cmd.Stdout, cmd.Stderr = plainEnv(), &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("viceroy: %s", output.String())
		}
	})
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) { // it compiles the service first
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("viceroy does not listen within two minutes")
		}
	}
	put(t, "platforms/fastly/flag", flagged)
	s := quickest(t, "http://"+address+"/flag")
	ask(t, http.MethodPost, "http://"+address+"/"+wrote, "")
	s.Elsewhere = ask(t, http.MethodGet, near+"/v1/kv/platforms/fastly/seen", "")
	return s
}

// freeAddress returns an address of loopback at which nothing listens now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // its address is all that is asked
	return l.Addr().String()
}
