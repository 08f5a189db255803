package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/integration/clients"
)

// watchScript watches as a program for Node or Deno does, with nothing but fetch. It prints a line for each event, and ends with the one
// of here/last.
const watchScript = `
const answer = await fetch(%q)
const decoder = new TextDecoder()
let text = ''
for await (const chunk of answer.body) {
  text += decoder.decode(chunk, {stream: true})
  for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
    const event = {}
    for (const line of text.slice(0, end).split('\n')) event[line.slice(0, line.indexOf(':'))] = line.slice(line.indexOf(':') + 2)
    if (event.data) console.log(event.event, event.data, event.id ?? '')
    if (event.data?.includes('here/last')) process.exit(0)
  }
}
`

// watchPage watches with EventSource, as a page of another origin, and reports each event to its own server.
const watchPage = `<!doctype html><meta charset="utf-8"><title>watch</title><script>
const source = new EventSource(%q)
let reports = Promise.resolve()
for (const name of ['reset', 'put', 'delete', 'ready', 'gap', 'end']) source.addEventListener(name, e => {
  reports = reports.then(() => fetch('/report', {method: 'POST', body: name + ' ' + e.data + ' ' + e.lastEventId}))
})
</script>`

// TestWatchClients: programs that know nothing of Edgehold read a watch as it is: curl, the fetch of Node and of Deno, and the EventSource
// of Chromium in a page of another origin. Those that are not installed are left out.
func TestWatchClients(t *testing.T) {
	skipUnderRace(t, "starts processes")
	t.Parallel()
	var reports screen
	var page string // set before a browser asks
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/report" {
			_, _ = io.WriteString(w, page) // the browser may have gone
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = fmt.Fprintf(&reports, "%s\n", b) // a buffer
	}))
	defer pages.Close()
	spawn, end := newSpawner()
	defer end()
	edge := startDev(t, spawn, pages.URL)
	watch := edge + "/v1/watch?prefix=here/&list=true"
	page = fmt.Sprintf(watchPage, watch)
	script := filepath.Join(t.TempDir(), "watch.mjs")
	text := "import process from 'node:process'\n" + fmt.Sprintf(watchScript, watch)
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "edgehold-chromium-") //nolint:usetesting // processes of Chromium may outlive the one that is ended here, and still write
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(profile) }() // as far as they let it
	for _, c := range []struct {
		names []string // of the program, the first that is installed
		args  []string
		out   *screen // what the client has seen; nil: its output
	}{
		{[]string{"curl"}, []string{"-sN", watch}, nil},
		{[]string{"node"}, []string{script}, nil},
		{[]string{"deno"}, []string{"run", "--allow-net", "--no-config", script}, nil},
		{[]string{"chromium", "chromium-browser", "google-chrome"}, []string{
			"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--user-data-dir=" + profile, "--remote-debugging-port=0", pages.URL,
		}, &reports},
	} {
		t.Run(c.names[0], func(t *testing.T) {
			program := clients.Look(c.names...)
			if program == "" {
				t.Skipf("%s is not installed", c.names[0])
			}
			if c.out == nil {
				c.out = new(screen)
			}
			cmd := exec.Command(program, c.args...)
			cmd.Stdout, cmd.Env = c.out, plainEnv()
			if err := spawn(cmd); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = cmd.Process.Kill() // it may have ended
				_ = cmd.Wait()         // killed
			}()
			seen(t, edge, c.out)
		})
	}
}

// startDev starts the smallest planet, and returns the URL of its edge.
func startDev(t *testing.T, spawn func(*exec.Cmd) error, origin string) string {
	t.Helper()
	cmd := exec.Command(buildBinary(t), "dev", "--regions", "here", "--replicas", "1", "--edges", "1", "--wan", "off", "--port", "0", "--json",
		"--cors-origin", origin)
	cmd.Env = append(plainEnv(), "TMPDIR="+t.TempDir())
	var out, errs screen
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := spawn(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // so that it removes its folder
		_ = cmd.Wait()                       // its status says nothing more
	})
	var ready struct{ Nodes []struct{ Role, URL string } }
	eventually(t, time.Minute, "the planet is ready", func() bool {
		return json.Unmarshal([]byte(out.String()), &ready) == nil && len(ready.Nodes) == 2
	})
	return ready.Nodes[1].URL
}

// seen writes while a client watches, and checks what it sees.
func seen(t *testing.T, edge string, out *screen) {
	t.Helper()
	write := func(method, key, value string) {
		r, err := http.NewRequest(method, edge+"/v1/kv/here/"+key, strings.NewReader(value))
		if err != nil {
			t.Fatal(err)
		}
		res, err := plainHTTP.Do(r)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %+v, %v", method, key, res, err)
		}
		_ = res.Body.Close()
	}
	eventually(t, 30*time.Second, "the watch has begun", func() bool { return strings.Contains(out.String(), "ready") })
	write("PUT", "lines", "two\nlines")
	write("PUT", "bytes/%FF", "\xfe")
	write("DELETE", "lines", "")
	write("PUT", "last", "end")
	eventually(t, 30*time.Second, "the last event is seen", func() bool { return strings.Contains(out.String(), "here/last") })
	rest := out.String()
	for _, part := range []string{"reset", "ready", `"key":"here/lines","value":"two\nlines"`, `"value_base64":"/g=="`, `delete`, `"key":"here/lines"`, "here/last"} {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("the client has not seen %s in its place:\n%s", part, out.String())
		}
		rest = after
	}
	write("DELETE", "last", "")
	write("DELETE", "bytes/%FF", "")
}
