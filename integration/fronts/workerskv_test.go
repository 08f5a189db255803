package fronts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/local"
	"github.com/edgehold/edgehold/integration/clients"
)

// kvService is a service of workerd that is a namespace at an edge.
func kvService(name, url, namespace string) string {
	return fmt.Sprintf(`(name = %q, external = (address = %q, http = (injectRequestHeaders = [(name = "Edgehold-KV-Namespace", value = %q)]))),`,
		name, strings.TrimPrefix(url, "http://"), namespace)
}

// worker is a configuration of workerd with one Worker. The first module is the Worker's own. A module is a file of testdata/workerskv, or
// NAME=FILE.
type worker struct {
	modules, bindings, services []string
	sockets                     string
	files                       map[string]string // further files beside the configuration
}

// configure writes the configuration, and the modules beside it.
func (w worker) configure(t testing.TB) (file string) {
	t.Helper()
	dir := t.TempDir()
	var embedded strings.Builder
	for i, m := range w.modules {
		name, from, named := strings.Cut(m, "=")
		if !named {
			from = filepath.Join("testdata", "workerskv", m)
		}
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, fmt.Sprint("module", i)), string(b))
		fmt.Fprintf(&embedded, "(name = %q, esModule = embed \"module%d\"), ", name, i)
	}
	for name, text := range w.files {
		write(t, filepath.Join(dir, name), text)
	}
	file = filepath.Join(dir, "config.capnp")
	write(t, file, fmt.Sprintf(`using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [
  (name = "main", worker = (compatibilityDate = "2026-04-01", modules = [%s], bindings = [%s])),
  %s
], sockets = [%s]);
`, embedded.String(), strings.Join(w.bindings, ", "), strings.Join(w.services, "\n  "), w.sockets))
	return file
}

// test runs the Worker's test.
func (w worker) test(t testing.TB) {
	t.Helper()
	config := w.configure(t)
	run(t, filepath.Dir(config), nil, clients.Need(t, "workerd"), "test", config)
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWorkersKVBinding: a Worker of the real runtime uses every method of a KV binding that points at an edge 200 ms from home.
func TestWorkersKVBinding(t *testing.T) {
	t.Parallel()
	worker{
		modules:  []string{"binding.mjs", "check.mjs"},
		bindings: []string{`(name = "KV", kvNamespace = "far")`, `(name = "NEAR", kvNamespace = "near")`},
		services: []string{kvService("far", farEdge(t), "binding"), kvService("near", homeEdge(t), "binding")},
	}.test(t)
}

// TestWorkersKVTokens: over TLS, with tokens that the runtime sends for the Worker: each may do what its policies say, and the Worker sees the
// refusal.
func TestWorkersKVTokens(t *testing.T) {
	if testing.Short() {
		t.Skip("real clients say nothing about races")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := local.Start(ctx, local.Config{Regions: []api.RegionID{home}, Replicas: 1, Edges: -1, Port: -1, WAN: "off", Secure: true, Fronts: []string{"workers-kv"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }() // the planet has nothing to keep
	w := worker{modules: []string{"tokens.mjs", "check.mjs"}, files: map[string]string{"ca.pem": string(p.Root())}}
	for name, policy := range map[string]string{"ALL": "all", "READ": "read-all", "NONE": ""} {
		inject := `(name = "Edgehold-KV-Namespace", value = "app")`
		if policy != "" {
			token, err := p.NewToken(ctx, name, policy)
			if err != nil {
				t.Fatal(err)
			}
			w.files[name] = "Bearer " + token
			inject += fmt.Sprintf(`, (name = "Authorization", value = embed %q)`, name)
		}
		w.bindings = append(w.bindings, fmt.Sprintf(`(name = %q, kvNamespace = %q)`, name, name))
		w.services = append(w.services, fmt.Sprintf(`(name = %q, external = (address = %q, https = (options = (injectRequestHeaders = [%s]),
    tlsOptions = (trustedCertificates = [embed "ca.pem"]), certificateHost = "127.0.0.1"))),`, name, strings.TrimPrefix(p.Nodes()[0].URL, "https://"), inject))
	}
	w.test(t)
}
