package integration

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var realInput = flag.String("realinput", "", "`FILE` of JSON Lines, with keys of the regions us-east, eu-west and ap-south, that TestRealInput imports")

// importBound is how long the import into a planet of one process may take.
const importBound = 120 * time.Second

// TestRealInput imports a file through an edge and reads all of it back at every edge: into a planet as `edgehold dev`
// starts it, and into one of nine servers and three edges that are processes of their own, with the same distances, where
// a group's leader is killed in the middle. Nothing may be lost, doubled or changed. It prints the figures.
//
//	docs/examples/debian-packages.sh > packages.jsonl
//	go test ./integration -run TestRealInput -count=1 -v -timeout 30m -realinput "$PWD/packages.jsonl"
func TestRealInput(t *testing.T) {
	if *realInput == "" {
		t.Skip("no -realinput FILE")
	}
	name, err := filepath.Abs(*realInput)
	if err != nil {
		t.Fatal(err)
	}
	binary, want := buildBinary(t), contents(t, name)
	bytes := 0
	owned := map[string]int{}
	for key, value := range want {
		bytes += len(key) + len(value)
		region, _, _ := strings.Cut(key, "/")
		owned[region]++
	}
	t.Logf("%d records, %.1f MB, by region %v", len(want), float64(bytes)/1e6, owned)
	t.Run("Dev", func(t *testing.T) {
		edges := devEdges(t, binary)
		began := time.Now()
		edges[1].command(t, "import", name).done(t)
		took := time.Since(began)
		if took > importBound {
			t.Errorf("the import took %v", took)
		}
		figures(t, "imported in one process", len(want), took)
		readBack(t, edges, want)
	})
	t.Run("Processes", func(t *testing.T) {
		f := planetFleet(t, binary)
		killed, took := importKilling(t, f.edges[1], name, middleKey(t, name), func() *daemon { return f.leader(t, f.edges[0], "us-east") })
		figures(t, "imported in processes, with "+killed.name+" killed, which led", len(want), took)
		killed.start(t)
		ready(t, killed)
		readBack(t, append(slices.Clone(f.edges), killed), want)
		f.stop(t)
	})
}

func figures(t *testing.T, what string, records int, took time.Duration) {
	t.Helper()
	t.Logf("%s: %d records in %.1f s, %.0f records/s", what, records, took.Seconds(), float64(records)/took.Seconds())
}

// readBack reads everything at each of the nodes.
func readBack(t *testing.T, nodes []*daemon, want map[string]string) {
	t.Helper()
	versions := map[string]string{}
	for _, d := range nodes {
		figures(t, "read back and equal at "+d.name, len(want), exportIs(t, d, "", want, versions))
	}
}

// middleKey is the key of the record in the middle of the file.
func middleKey(t *testing.T, name string) string {
	t.Helper()
	var keys []string
	eachLine(t, name, func(l *jsonLine) { keys = append(keys, l.key()) })
	return keys[len(keys)/2]
}

// devEdges starts dev and returns its edges.
func devEdges(t *testing.T, binary string) (edges []*daemon) {
	t.Helper()
	f := newFleet(t, binary)
	r, w := io.Pipe()
	dev := f.begin(t, w, io.Discard, "dev", "--json", "--port", "0", "--data", filepath.Join(f.dir, "data"))
	go func() { <-dev.exited; _ = w.Close() }()
	var line struct {
		Nodes []struct{ Node, Role, URL string }
	}
	if err := json.NewDecoder(r).Decode(&line); err != nil {
		t.Fatalf("dev: %v, %v", err, dev.cmd.ProcessState)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // ends with the process
	for _, n := range line.Nodes {
		if n.Role == "edge" {
			edges = append(edges, &daemon{process: dev, fleet: f, role: n.Role, name: n.Node, address: strings.TrimPrefix(n.URL, "http://")})
		}
	}
	return edges
}

// wideFleet is a planet like dev's, of processes.
type wideFleet struct {
	*fleet
	edges []*daemon
}

func planetFleet(t *testing.T, binary string) *wideFleet {
	t.Helper()
	f := &wideFleet{fleet: newFleet(t, binary, "--wan", "../docs/examples/wan.yaml")}
	seed := ""
	for _, region := range regions {
		for i := range 3 {
			d := f.server(t, fmt.Sprintf("%s-%d", region, i+1), region, seed)
			seed = cmp.Or(seed, d.address)
		}
	}
	for _, region := range regions {
		f.edges = append(f.edges, f.edge(t, region+"-edge-1", region, seed))
	}
	ready(t, f.nodes...)
	for _, region := range regions {
		f.edges[0].command(t, "placement", "set", "--prefix", region+"/", "--region", region).done(t)
	}
	return f
}
