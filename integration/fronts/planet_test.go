package fronts

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cluster/local"
)

// Regions of the planet. Keys that begin with away/ belong to away, all others to home.
const (
	home api.RegionID = "home"
	away api.RegionID = "away"
)

// roundTrip is what the edge in away needs to ask home.
const roundTrip = 200 * time.Millisecond

// world is the planet that the tests share. The first test that needs it starts it.
type world struct {
	once   sync.Once
	planet *local.Planet
	dir    string
	err    error
}

var shared world

// atOnce is how many tests run at a time, if the command line does not say: most wait for a round trip, a lease or a process to start.
const atOnce = 5

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil {
			panic(err)
		}
	}
	status := m.Run()
	jsPackage.remove()
	pythonPackage.remove()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "the planet does not end:", err)
		status = 1
	}
	os.Exit(status)
}

func (w *world) start() {
	if w.dir, w.err = os.MkdirTemp("", "edgehold-fronts-"); w.err != nil {
		return
	}
	file := filepath.Join(w.dir, "wan.yaml")
	text := fmt.Sprintf("links: [{a: %s, b: %s, rtt_ms: %d}]\n", home, away, roundTrip.Milliseconds())
	if w.err = os.WriteFile(file, []byte(text), 0o600); w.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.planet, w.err = local.Start(ctx, local.Config{
		Regions: []api.RegionID{home, away}, Replicas: 1, Port: -1, WAN: file, CORSOrigins: []string{"*"}, Fronts: cluster.Fronts(), ConsulPort: -1,
	})
}

func (w *world) close() error {
	if w.planet != nil {
		w.err = w.planet.Close()
	}
	if w.dir != "" {
		_ = os.RemoveAll(w.dir) // temporary
	}
	return w.err
}

// secured returns the URL of an edge that speaks TLS, the file of the certificate to trust, and a token that may do everything with keys.
func secured(t *testing.T) (url, root, token string) {
	t.Helper()
	if testing.Short() {
		t.Skip("real clients say nothing about races")
	}
	p, err := local.Start(t.Context(), local.Config{Regions: []api.RegionID{home}, Replicas: 1, Port: -1, WAN: "off", Secure: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	if token, err = p.NewToken(t.Context(), "test", "all"); err != nil {
		t.Fatal(err)
	}
	root = filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, p.Root(), 0o600); err != nil {
		t.Fatal(err)
	}
	nodes := p.Nodes()
	return nodes[len(nodes)-1].URL, root, token
}

// nodeURL returns the URL of the node of the shared planet with that role in that region, such as http://127.0.0.1:43210. With -short,
// which is how the race detector runs, the test is skipped: what it checks is another program.
func nodeURL(t testing.TB, role api.Role, region api.RegionID) string {
	t.Helper()
	return nodeOf(t, role, region).URL
}

// nodeOf returns the node of the shared planet, as nodeURL does its URL.
func nodeOf(t testing.TB, role api.Role, region api.RegionID) local.NodeInfo {
	t.Helper()
	if testing.Short() {
		t.Skip("real clients say nothing about races")
	}
	shared.once.Do(shared.start)
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	for _, n := range shared.planet.Nodes() {
		if n.Role == role && n.Region == region {
			return n
		}
	}
	t.Fatalf("the planet has no %s in %s", role, region)
	return local.NodeInfo{}
}

// farEdge returns the URL of the edge in away: 200 ms from the owner of all keys that do not begin with away/.
func farEdge(t testing.TB) string { t.Helper(); return nodeURL(t, api.RoleEdge, away) }

// homeEdge returns the URL of the edge in home.
func homeEdge(t testing.TB) string { t.Helper(); return nodeURL(t, api.RoleEdge, home) }
