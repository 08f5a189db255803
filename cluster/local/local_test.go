package local_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster/local"
)

// temporary makes the folder for what a planet keeps, and demands that nothing is left in it at the end.
func temporary(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}

// TestPlanet starts a planet without distances, is served by each of its nodes, and stops it.
func TestPlanet(t *testing.T) {
	temporary(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := local.Start(ctx, local.Config{Regions: []api.RegionID{"here", "there"}, Replicas: 1, Port: -1, WAN: "off"})
	if err != nil {
		t.Fatal(err)
	}
	var names, last string
	for i, n := range p.Nodes() {
		names += " " + string(n.Node)
		c, err := client.Open(ctx, client.Config{Endpoints: []string{n.URL}})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []api.Key{"there/k", "k"} {
			if i > 0 {
				if v, err := c.Get(ctx, key); err != nil || string(v.Value) != last {
					t.Errorf("%q at %s: %q, %v; it was written as %q", key, n.Node, v.Value, err, last)
				}
			}
			if _, err := c.Put(ctx, key, []byte(n.Node)); err != nil {
				t.Errorf("put %q at %s: %v", key, n.Node, err)
			}
		}
		last = string(n.Node)
		_ = c.Close()
	}
	if names != " here-1 there-1 here-edge-1 there-edge-1" {
		t.Errorf("the nodes are%s", names)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	for _, n := range p.Nodes() {
		for end := time.Now().Add(10 * time.Second); listens(ctx, n); <-time.After(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%s still listens", n.Node)
				break
			}
		}
	}
}

// listens reports whether a process listens at the node's port. For a while that may be another process.
func listens(ctx context.Context, n local.NodeInfo) bool {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(n.URL, "http://"))
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// TestPortTaken: if a port is taken, one error names it and says what to do, and the other ports are free again.
func TestPortTaken(t *testing.T) {
	temporary(t)
	var err error
	for range 5 { // another process may take the first port meanwhile, but not each time
		if err = portTaken(t); err == nil {
			return
		}
	}
	t.Error(err)
}

func portTaken(t *testing.T) error {
	t.Helper()
	taken, port := listenAfterFree(t)
	defer func() { _ = taken.Close() }()
	_, err := local.Start(t.Context(), local.Config{Port: port, WAN: "off"})
	if api.CodeOf(err) != api.CodeUnavailable {
		t.Fatal(err)
	}
	if said := err.Error(); strings.Contains(said, "\n") || !strings.Contains(said, "port "+strconv.Itoa(port+1)) || !strings.Contains(said, "--port") {
		return fmt.Errorf("it says: %w", err)
	}
	l, err := listenAt(t, port)
	if err != nil {
		return fmt.Errorf("the first port was not given back: %w", err)
	}
	return l.Close()
}

// listenAfterFree takes a port whose predecessor, which it returns, is free.
func listenAfterFree(t *testing.T) (taken net.Listener, before int) {
	t.Helper()
	for range 100 {
		l, err := listenAt(t, 0)
		if err != nil {
			t.Fatal(err)
		}
		before := l.Addr().(*net.TCPAddr).Port - 1
		if free, err := listenAt(t, before); err == nil {
			_ = free.Close()
			return l, before
		}
		_ = l.Close()
	}
	t.Fatal("no two ports in a row are free")
	return nil, 0
}

func listenAt(t *testing.T, port int) (net.Listener, error) {
	t.Helper()
	return new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

// TestConfig: what cannot work is refused at once, in the words of the flags, and nothing is left behind.
func TestConfig(t *testing.T) {
	temporary(t)
	for name, c := range map[string]struct {
		cfg  local.Config
		code api.Code
		hint string
	}{
		"a region twice":   {local.Config{Regions: []api.RegionID{"a", "b", "a"}}, api.CodeInvalid, `--regions names "a" twice`},
		"a nameless one":   {local.Config{Regions: []api.RegionID{"a", ""}}, api.CodeInvalid, "--regions"},
		"no region":        {local.Config{Regions: []api.RegionID{}}, api.CodeInvalid, "at least one region"},
		"no server":        {local.Config{Replicas: -1}, api.CodeInvalid, "--replicas"},
		"too many servers": {local.Config{Replicas: 34}, api.CodeTooLarge, "105 nodes are over the limit of 100"},
		"too many edges":   {local.Config{Edges: 31}, api.CodeTooLarge, "102 nodes"},
		"too high a port":  {local.Config{Port: 65_530}, api.CodeInvalid, "--port"},
		"too many groups":  {local.Config{Port: -1, Groups: 1000}, api.CodeInvalid, "groups"},
		"no such WAN file": {local.Config{Port: -1, WAN: "no such file"}, api.CodeInvalid, "--wan"},
		"an endless term":  {local.Config{Port: -1, WAN: "off", LeaseTerm: time.Hour}, api.CodeInvalid, "--lease-term"},
	} {
		_, err := local.Start(t.Context(), c.cfg)
		if api.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStartEnds: a start whose time is up ends what it had started.
func TestStartEnds(t *testing.T) {
	temporary(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // an election takes longer
	defer cancel()
	if _, err := local.Start(ctx, local.Config{Regions: []api.RegionID{"here"}, Replicas: 1, Port: -1, WAN: "off"}); err == nil {
		t.Error("ready before a leader can have been elected")
	}
}

// TestSecurePlanet: each node of a secure planet serves those that trust its root and have a token, over https alone.
func TestSecurePlanet(t *testing.T) {
	temporary(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := local.Start(ctx, local.Config{Regions: []api.RegionID{"here"}, Replicas: 1, Port: -1, WAN: "off", Secure: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	token, err := p.NewToken(ctx, "test", "all")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range p.Nodes() {
		if !strings.HasPrefix(n.URL, "https://127.0.0.1:") {
			t.Errorf("%s is at %s", n.Node, n.URL)
		}
		for what, x := range map[string]struct {
			cfg  client.Config
			code api.Code
			says string
		}{
			"trusted":         {client.Config{Endpoints: []string{n.URL}, CA: p.Root(), Token: api.Secret(token)}, "", ""},
			"without a token": {client.Config{Endpoints: []string{n.URL}, CA: p.Root()}, api.CodeUnauthenticated, "a token is needed"},
			"without a root":  {client.Config{Endpoints: []string{n.URL}, Token: api.Secret(token)}, api.CodeUnavailable, "roots.pem"},
			"plain":           {client.Config{Endpoints: []string{"http" + strings.TrimPrefix(n.URL, "https")}}, api.CodeInvalid, "write https://"},
		} {
			c, err := client.Open(ctx, x.cfg)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Put(ctx, "k", []byte("v"))
			if err == nil && x.code != "" || err != nil && (api.CodeOf(err) != x.code || !strings.Contains(err.Error(), x.says)) {
				t.Errorf("%s at %s: %v", what, n.Node, err)
			}
			_ = c.Close()
		}
	}
}
