package fronts

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/integration/clients"
)

// TestPlanetIsWide: what the edge in away asks home takes a round trip of 200 ms, and what it reads under a lease takes less.
func TestPlanetIsWide(t *testing.T) {
	edge := farEdge(t)
	begin := time.Now()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, edge+"/v1/kv/wide", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body) // shown only
	_ = res.Body.Close()            // it has been read
	if took := time.Since(begin); res.StatusCode != http.StatusOK || took < roundTrip {
		t.Errorf("a write took %v and answered %s: %s", took, res.Status, body)
	}
}

// TestClientsRun: the runtimes that `make clients` installs start.
func TestClientsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for name, want := range map[string]string{"node": "v", "deno": "deno ", "workerd": "workerd ", "python3": "Python 3"} {
		if got := run(t, t.TempDir(), nil, clients.Need(t, name), "--version"); !strings.HasPrefix(got, want) {
			t.Errorf("%s --version: %q", name, got)
		}
	}
}
