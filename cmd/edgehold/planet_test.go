package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestDevPlanet starts the smallest planet as a user would, uses it and stops it.
func TestDevPlanet(t *testing.T) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	r, w := io.Pipe()
	var errOut strings.Builder
	ended := make(chan int, 1)
	go func() {
		args := strings.Fields("dev --regions here --replicas 3 --edges 1 --wan off --port 0 --json")
		ended <- run(ctx, append(args, "--data", t.TempDir()), &terminal{out: w, err: &errOut, lookupEnv: noEnv})
		_ = w.Close()
	}()
	var ready struct {
		Ready bool
		Nodes []struct{ Node, Region, Role, URL string }
	}
	if err := json.NewDecoder(r).Decode(&ready); err != nil {
		t.Fatalf("%v: exit %d, %s", err, <-ended, errOut.String())
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // ends with the pipe
	if !ready.Ready || len(ready.Nodes) != 4 || ready.Nodes[0].Node != "here-1" || ready.Nodes[3].Role != "edge" {
		t.Errorf("%+v", ready)
	}
	server, edge := ready.Nodes[0].URL, ready.Nodes[3].URL
	i := new(invocation).run("kv", "put", "here/a", "b", "--addr", server)
	j := new(invocation).run("kv", "get", "here/a", "--addr", edge)
	if i.status != 0 || j.out != "b" {
		t.Errorf("put: %s; get: %q %s", i.err, j.out, j.err)
	}
	stop()
	if status := <-ended; status != 0 || errOut.String() != "" {
		t.Errorf("exit %d, %s", status, errOut.String())
	}
}

// TestPortInUse checks that the error names the setting to change, and not --addr.
func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	for args, says := range map[string]string{
		"dev --regions here --replicas 1 --edges 0 --wan off --port " + port:                              "port " + port + " cannot be opened",
		"server --region r --node n --bootstrap --data " + t.TempDir() + " --listen " + host + ":" + port: "--listen " + host + ":" + port + " cannot be opened",
	} {
		i := new(invocation)
		i.env = map[string]string{}
		i.run(strings.Fields(args)...)
		if i.status != 1 || !strings.Contains(i.err, says) || !strings.Contains(i.err, "choose") || strings.Contains(i.err, "--addr") || strings.Count(i.err, "\n") != 1 {
			t.Errorf("%s: exit %d, %q", args, i.status, i.err)
		}
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func noEnv(string) (string, bool) { return "", false }

// TestServerAndEdge starts a server and an edge as two processes would, and stops them.
func TestServerAndEdge(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	ended := make(chan string, 2)
	var logs []*nodeLog
	begin := func(args ...string) {
		log := &nodeLog{ready: make(chan struct{})}
		logs = append(logs, log)
		go func() {
			status := run(ctx, append(args, "--log-format", "json"), &terminal{out: io.Discard, err: log, lookupEnv: noEnv})
			if status == 0 {
				ended <- ""
			} else {
				ended <- log.String()
			}
		}()
	}
	server, edge := freeAddress(t), freeAddress(t)
	begin("server", "--region", "here", "--node", "here-1", "--listen", server, "--data", t.TempDir(), "--bootstrap")
	begin("edge", "--region", "there", "--node", "there-edge-1", "--listen", edge, "--join", server)
	for _, addr := range []string{server, edge} {
		for new(invocation).run("cluster", "status", "--ready", "--addr", addr, "--timeout", "1s").status != 0 {
			if ctx.Err() != nil {
				t.Fatalf("%s was not ready within a minute", addr)
			}
		}
	}
	i := &invocation{ctx: ctx}
	if i.run("kv", "put", "a", "b", "--addr", edge); i.status != 0 {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
	for _, log := range logs {
		select {
		case <-log.ready:
		case <-ctx.Done():
			t.Errorf("a node does not say that it is ready: %s", log)
		}
	}
	stop()
	for range 2 {
		if problem := <-ended; problem != "" {
			t.Error(problem)
		}
	}
}

// nodeLog is the standard error of a node. It is safe for concurrent use.
type nodeLog struct {
	ready chan struct{} // closed when the node has logged that it is ready

	mu   sync.Mutex
	text strings.Builder // guarded by mu
	said bool            // guarded by mu: ready is closed
}

func (l *nodeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if !l.said && strings.Contains(l.text.String(), `"@message":"ready"`) {
		l.said = true
		close(l.ready)
	}
	return len(b), nil
}

func (l *nodeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// freeAddress returns an unused address on loopback.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestNodesRefuse(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"server --node n --listen 127.0.0.1:0 --data d --bootstrap", 2, "--region is required"},
		{"server --region r --node n --listen 127.0.0.1:0 --bootstrap", 2, "--data is required"},
		{"server --region r --node n --listen 127.0.0.1:0 --data d", 2, "--join HOST:PORT"},
		{"server --region r --node n --listen 0.0.0.0:0 --advertise a:1 --data d --bootstrap", 1, "--insecure"},
		{"server --region r --node n --listen 127.0.0.1:0 --data d --bootstrap --addr http://x", 2, "--addr is for the commands that talk to a node"},
		{"server --region r --node n --listen 127.0.0.1:0 --data d --bootstrap --log-level loud", 2, "--log-level"},
		{"server --region r --node n --listen 127.0.0.1:0 --data d --bootstrap --raft-log tape", 2, "--raft-log \"tape\": choose bolt or wal"},
		{"server --region r --node n --listen 127.0.0.1:0 --data d --bootstrap --wan nothing.yaml", 2, "--wan"},
		{"edge --region r --node n --listen 127.0.0.1:0", 2, "--join is required"},
		{"edge --region r --node n --listen 127.0.0.1:0 --join a:1 --bootstrap", 2, "unknown flag: --bootstrap"},
		{"server --region a/b --node n --listen 127.0.0.1:0 --data d --bootstrap", 2, "--region"},
		{"server --region r --node ../n --listen 127.0.0.1:0 --data d --bootstrap", 2, "--node"},
		{"server --region r --node n --listen 127.0.0.1:0 --data d --join http://127.0.0.1:7400", 2, "--join"},
		{"edge --region R --node n --listen 127.0.0.1:0 --join a:1", 2, "--region"},
		{"edge --region r --node n --listen 127.0.0.1:0 --join a:1,b", 2, "--join"},
		{"dev --replicas 0", 2, "--replicas"},
		{"dev --cors-origin https://app.example/", 2, "--cors-origin \"https://app.example/\""},
		{"edge --region r --node n --listen 127.0.0.1:0 --join a:1 --cors-origin app.example", 2, "--cors-origin"},
		{"edge --region r --node n --listen 127.0.0.1:0 --join a:1 --front memcached", 2, "there is no such front"},
		{"edge --region r --node n --listen 127.0.0.1:0 --join a:1 --resp-socket s", 2, "--resp-socket needs --front resp"},
		{"dev --cut us-east", 2, "--cut \"us-east\": name two of the regions us-east, eu-west, ap-south, as in us-east~eu-west"},
		{"dev --cut us-east~us-east", 2, "--cut"},
		{"dev --regions a,b --cut a~b --cut a~us-east", 2, "--cut \"a~us-east\": name two of the regions a, b, as in a~b"},
		{"dev --wan nothing.yaml", 2, "--wan"},
		{"dev extra", 2, "unexpected argument"},
	} {
		i := new(invocation)
		i.env = map[string]string{"EDGEHOLD_ADDR": "http://ignored:1"}
		if i.run(strings.Fields(c.args)...); i.status != c.status || !strings.Contains(i.err, c.says) || strings.Count(i.err, "\n") != 1 {
			t.Errorf("%s: exit %d, %q", c.args, i.status, i.err)
		}
	}
}
