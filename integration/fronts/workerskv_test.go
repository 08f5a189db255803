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

// kvWorker is a configuration of workerd: a Worker of the modules, of which the first is its own, with bindings, and the services.
func kvWorker(t testing.TB, modules, bindings, services []string) (file string) {
	t.Helper()
	dir := t.TempDir()
	var embedded strings.Builder
	for _, m := range modules {
		b, err := os.ReadFile(filepath.Join("testdata", "workerskv", m))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, m), string(b))
		fmt.Fprintf(&embedded, "(name = %q, esModule = embed %q), ", m, m)
	}
	file = filepath.Join(dir, "config.capnp")
	write(t, file, fmt.Sprintf(`using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [
  (name = "main", worker = (compatibilityDate = "2026-04-01", modules = [%s], bindings = [%s])),
  %s
]);
`, embedded.String(), strings.Join(bindings, ", "), strings.Join(services, "\n  ")))
	return file
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
	config := kvWorker(t, []string{"binding.mjs", "check.mjs"},
		[]string{`(name = "KV", kvNamespace = "far")`, `(name = "NEAR", kvNamespace = "near")`},
		[]string{kvService("far", farEdge(t), "binding"), kvService("near", homeEdge(t), "binding")})
	run(t, filepath.Dir(config), nil, clients.Need(t, "workerd"), "test", config)
}

// TestWorkersKVTokens: over TLS, with tokens that the runtime sends for the Worker: each may do what its policies say, and the Worker sees the
// refusal.
func TestWorkersKVTokens(t *testing.T) {
	if testing.Short() {
		t.Skip("real clients say nothing about races")
	}
	t.Parallel()
	workerd := clients.Need(t, "workerd")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := local.Start(ctx, local.Config{Regions: []api.RegionID{home}, Replicas: 1, Edges: -1, Port: -1, WAN: "off", Secure: true, Fronts: []string{"workers-kv"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }() // the planet has nothing to keep
	var bindings, services []string
	for name, policy := range map[string]string{"ALL": "all", "READ": "read-all", "NONE": ""} {
		inject := `(name = "Edgehold-KV-Namespace", value = "app")`
		if policy != "" {
			token, err := p.NewToken(ctx, name, policy)
			if err != nil {
				t.Fatal(err)
			}
			inject += fmt.Sprintf(`, (name = "Authorization", value = "Bearer %s")`, token)
		}
		bindings = append(bindings, fmt.Sprintf(`(name = %q, kvNamespace = %q)`, name, name))
		services = append(services, fmt.Sprintf(`(name = %q, external = (address = %q, https = (options = (injectRequestHeaders = [%s]),
    tlsOptions = (trustedCertificates = [embed "ca.pem"]), certificateHost = "127.0.0.1"))),`, name, strings.TrimPrefix(p.Nodes()[0].URL, "https://"), inject))
	}
	config := kvWorker(t, []string{"tokens.mjs", "check.mjs"}, bindings, services)
	write(t, filepath.Join(filepath.Dir(config), "ca.pem"), string(p.Root()))
	run(t, filepath.Dir(config), nil, workerd, "test", config)
}
