package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica"
)

// TestCloseLeavesNothing: a server and an edge on real sockets and files, which have served requests and hold lease
// streams, sessions, polls of the map, clients that stay connected and one that sends nothing. Once they are closed, no
// goroutine and no descriptor of theirs is left.
func TestCloseLeavesNothing(t *testing.T) {
	before := descriptors(t)
	root := t.TempDir()
	server := onSockets(t, root, "s1", api.RoleServer, func(c *Config) { c.Bootstrap = true })
	edge := onSockets(t, root, "e1", api.RoleEdge, func(c *Config) { c.Join = []string{server.cfg.Advertise} })
	for _, n := range []*Node{server, edge} {
		until(t, string(n.ID())+" is ready", func() string {
			return fmt.Sprint(n.Ready(context.Background()))
		}, "<nil>")
	}
	clients := &http.Transport{}
	for _, n := range []*Node{server, edge} {
		ask(t, clients, http.MethodPut, n.URL()+"/v1/kv/k", "v")
		silent, err := new(net.Dialer).DialContext(t.Context(), "tcp", n.cfg.Advertise)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = silent.Close() })
	}
	until(t, "the edge reads by a lease", func() string {
		return ask(t, clients, http.MethodGet, edge.URL()+"/v1/kv/k", "").Get("Edgehold-Served-By")
	}, "lease")
	ask(t, clients, http.MethodGet, edge.URL()+"/v1/kv?prefix=k", "")
	if left := stacks(t); left == "" {
		t.Fatal("this test does not see the goroutines of nodes that run")
	}

	// The server first: the edge has to close its sessions at one that does not answer any more.
	for _, n := range []*Node{server, edge} {
		began := time.Now()
		if err := n.Close(); err != nil {
			t.Errorf("close %s: %v", n.ID(), err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("closing %s took %v", n.ID(), took)
		}
		if err := n.Close(); err != nil {
			t.Errorf("closing %s once more: %v", n.ID(), err)
		}
	}
	clients.CloseIdleConnections()
	until(t, "no goroutine is left", func() string { return stacks(t) }, "")
	if before > 0 {
		until(t, "no descriptor is left", func() string {
			// The two silent clients still hold their ends.
			return fmt.Sprint(max(0, descriptors(t)-before-2))
		}, "0")
	}
}

// onSockets opens a node on the loopback interface and on files.
func onSockets(t *testing.T, root string, id api.NodeID, role api.Role, change func(*Config)) *Node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		ID: id, Region: "r", Role: role, Listener: l, Dir: filepath.Join(root, string(id)),
		RegionTiming: replica.RegionTiming().Scale(0.3), WideTiming: replica.WideTiming().Scale(0.1),
	}
	change(&cfg)
	n, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// ask sends a request that must succeed, and returns the answer's header.
func ask(t *testing.T, by http.RoundTripper, method, url, body string) http.Header {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: by}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode >= 300 {
		t.Fatalf("%s %s: %s: %s, %v", method, url, res.Status, said, err)
	}
	return res.Header
}

// until waits for a condition of real time.
func until(t *testing.T, what string, is func() string, want string) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	got := is()
	for end := time.Now().Add(20 * time.Second); got != want; got = is() {
		if time.Now().After(end) {
			t.Fatalf("not in 20 s: %s: %s", what, got)
		}
		<-again.C
	}
}

// stacks are the goroutines that nodes start, of ours and of the libraries below.
func stacks(t *testing.T) (left string) {
	t.Helper()
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		t.Fatal(err)
	}
	for stack := range strings.SplitSeq(b.String(), "\n\n") {
		for _, of := range []string{"edgehold/cluster", "edgehold/api/httpd", "edgehold/transport", "hashicorp/raft", "google.golang.org/grpc", "soheilhy/cmux", "net/http", "etcd.io/bbolt"} {
			if strings.Contains(stack, of) && !strings.Contains(stack, "cluster.stacks") {
				left += stack + "\n\n"
				break
			}
		}
	}
	return left
}

// descriptors counts what the process has open; 0 if the system does not say.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(all)
}
