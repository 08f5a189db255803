package main

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cluster/words"
)

func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		listen, advertise string
		insecure          bool
		address           string
		exposed           bool
		says              string
	}{
		{"127.0.0.1:7400", "", false, "127.0.0.1:7400", false, ""},
		{"127.8.9.1:0", "", false, "127.8.9.1:0", false, ""},
		{"localhost:7400", "", false, "127.0.0.1:7400", false, ""},
		{"[::1]:7400", "", false, "[::1]:7400", false, ""},
		{"127.0.0.1:7400", "proxy:80", false, "127.0.0.1:7400", false, ""},
		{"0.0.0.0:7400", "a:1", true, "0.0.0.0:7400", true, ""},
		{"192.0.2.1:7400", "", true, "192.0.2.1:7400", true, ""},

		{"0.0.0.0:7400", "a:1", false, "0.0.0.0:7400", true, ""},
		{"0.0.0.0:7400", "", true, "", true, "--advertise"},
		{":7400", "", true, "", true, "--advertise"},
		{"127.0.0.1", "", false, "", false, "HOST:PORT"},
		{"127.0.0.1:99999", "", false, "", false, "HOST:PORT"},
		{"127.0.0.1:7400", "proxy", false, "", false, "--advertise"},
	} {
		o := &nodeOptions{Config: cluster.Config{Advertise: c.advertise}, listen: c.listen, insecure: c.insecure}
		address, exposed, err := o.endpoint()
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: got error %v, want %q in it", c.listen, err, c.says)
			}
		} else if err != nil || address != c.address || exposed != c.exposed {
			t.Errorf("%s: got %s, %v, %v", c.listen, address, exposed, err)
		}
	}
}

// TestConsulEndpoint: where clients of Consul are answered is nowhere by default, and counts as outside loopback like the port.
func TestConsulEndpoint(t *testing.T) {
	for _, c := range []struct {
		listen, address string
		exposed, wrong  bool
	}{{"", "", false, false}, {"127.0.0.1:8500", "127.0.0.1:8500", false, false}, {":8500", ":8500", true, false}, {"0.0.0.0:8500", "0.0.0.0:8500", true, false}, {"127.0.0.1", "", false, true}} {
		o := &nodeOptions{consul: c.listen}
		if address, exposed, err := o.consulEndpoint(); address != c.address || exposed != c.exposed || (err != nil) != c.wrong {
			t.Errorf("%q: %q, %v, %v", c.listen, address, exposed, err)
		}
	}
	o := &nodeOptions{Config: cluster.Config{Join: []string{"a:1"}}, consul: "0.0.0.0:8500", listen: "127.0.0.1:1"}
	if err := o.secured(true); err == nil || !strings.Contains(err.Error(), "--consul-listen 0.0.0.0:8500 is outside loopback") {
		t.Errorf("in plain it is refused with %v", err)
	}
}

// fakeNode is ready at the third call of Ready.
type fakeNode struct {
	asked  atomic.Int64
	ready  func()
	closed bool
}

func (n *fakeNode) Ready(context.Context) error {
	if n.asked.Add(1) < 3 {
		return api.Errorf(api.CodeUnavailable, "catching up")
	}
	n.ready()
	return nil
}

func (n *fakeNode) URL() string { return "http://127.0.0.1:7400" }

func (n *fakeNode) Close() error { n.closed = true; return nil }

func TestRunNode(t *testing.T) {
	o := &nodeOptions{Config: cluster.Config{ID: "n", Region: "r"}, listen: "127.0.0.1:0", log: logOptions{"info", "json"}}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n := &fakeNode{ready: cancel}
	var errOut strings.Builder
	err := o.run(ctx, &terminal{err: &errOut}, func(l net.Listener, _ hclog.Logger) (runningNode, error) {
		return n, l.Close()
	})
	if err != nil || !n.closed || strings.Count(errOut.String(), "catching up") != 1 || !strings.Contains(errOut.String(), `"@message":"ready"`) ||
		!strings.Contains(errOut.String(), `"page":"http://127.0.0.1:7400/ui/"`) {
		t.Errorf("%v, closed %v, %s", err, n.closed, errOut.String())
	}
	broken := errors.New("broken")
	err = o.run(ctx, &terminal{err: &errOut}, func(net.Listener, hclog.Logger) (runningNode, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// hangingNode never closes.
type hangingNode struct{ fakeNode }

func (*hangingNode) Close() error { select {} }

// TestStopIsBounded checks that a node that cannot close does not block the process.
func TestStopIsBounded(t *testing.T) {
	began := time.Now()
	err := stop(&hangingNode{}, 50*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "nothing that was acknowledged is lost") || time.Since(began) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

// TestNodeFailed checks that a failed node ends the process with status 1 and prints one line, however many goroutines report it.
func TestNodeFailed(t *testing.T) {
	var errOut strings.Builder
	var status []int
	term := &terminal{err: &errOut, exit: func(s int) { status = append(status, s) }}
	for range 2 {
		term.nodeFailed(api.Errorf(api.CodeInternal, "the block is damaged;\nlook at the disk"))
	}
	if got := errOut.String(); len(status) != 1 || status[0] != exitFailed || strings.Count(got, "\n") != 1 || !strings.Contains(got, "damaged; look") || strings.Contains(got, "--addr") {
		t.Errorf("status %v, %q", status, got)
	}
}

func TestRunNodeExposed(t *testing.T) {
	o := &nodeOptions{Config: cluster.Config{Advertise: "a:1"}, listen: "0.0.0.0:0", insecure: true, log: logOptions{"warn", "text"}}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var errOut strings.Builder
	err := o.run(ctx, &terminal{err: &errOut}, func(l net.Listener, _ hclog.Logger) (runningNode, error) {
		return &fakeNode{ready: cancel}, l.Close()
	})
	if err == nil && !strings.Contains(errOut.String(), "INSECURE") {
		t.Errorf("it says only %q", errOut.String())
	}
}

func TestServerSettings(t *testing.T) {
	for _, c := range []struct {
		change func(*nodeOptions)
		says   string
	}{
		{func(*nodeOptions) {}, ""},
		{func(o *nodeOptions) { o.Join, o.Bootstrap, o.Groups, o.Voters = []string{"a:1"}, false, 4, 5 }, ""},
		{func(o *nodeOptions) { o.Bootstrap = false }, "--join HOST:PORT"},
		{func(o *nodeOptions) { o.Join = []string{"a:1"} }, ""},
		{func(o *nodeOptions) { o.Groups = 0 }, "--groups"},
		{func(o *nodeOptions) { o.Voters = 4 }, "--voters"},
		{func(o *nodeOptions) { o.LeaseTerm = 2 * words.MaxLeaseTerm }, "--lease-term"},
	} {
		o := nodeOptions{Config: cluster.Config{Role: api.RoleServer, Region: "r", ID: "n", LeaseTerm: time.Second, Bootstrap: true, Groups: 1, Voters: 3}, tlsMin: "1.3"}
		c.change(&o)
		if err := o.check(); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: got %v, want %q", o, err, c.says)
		}
	}
}

func devDefaults() devOptions {
	return devOptions{regions: []string{"us-east", "eu-west", "ap-south"}, replicas: 3, edges: 1, groups: 1, port: 7400, wan: "real", leaseTerm: time.Second}
}

func TestDevSettings(t *testing.T) {
	for _, c := range []struct {
		change func(*devOptions)
		says   string
	}{
		{func(*devOptions) {}, ""},
		{func(o *devOptions) { o.regions = []string{"one"}; o.replicas = 1; o.edges = 0; o.wan = "off" }, ""},
		{func(o *devOptions) { o.regions = nil }, "--regions is empty"},
		{func(o *devOptions) { o.regions = []string{"a", "a"} }, "given twice"},
		{func(o *devOptions) { o.regions = []string{"a/b"} }, "lower-case letters"},
		{func(o *devOptions) { o.replicas = 0 }, "--replicas"},
		{func(o *devOptions) { o.edges = -1 }, "--edges"},
		{func(o *devOptions) { o.edges = 50 }, "that dev starts"},
		{func(o *devOptions) { o.groups = 0 }, "--groups"},
		{func(o *devOptions) { o.port = 65530 }, "--port"},
		{func(o *devOptions) { o.wan = "" }, "--wan"},
		{func(o *devOptions) { o.raftLog = "bolt" }, ""},
		{func(o *devOptions) { o.raftLog = "tape" }, "--raft-log"},
		{func(o *devOptions) { o.leaseTerm = 0 }, "--lease-term"},
	} {
		o := devDefaults()
		c.change(&o)
		if err := o.check(); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want %q", err, c.says)
		}
	}
}

func TestDevDistances(t *testing.T) {
	for name, ok := range map[string]bool{
		"real": true, "off": true,
		writeFile(t, "wan.yaml", "links: [{a: us-east, b: eu-west, rtt_ms: 80, jitter_ms: 2, loss: 0}]"): true,
		writeFile(t, "bad.yaml", "links: [{a: us-east}]"):                                                false,
		"nothing.yaml": false,
	} {
		o := devDefaults()
		o.wan = name
		if err := o.check(); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
		n := nodeOptions{Config: cluster.Config{Region: "us-east"}, wan: name}
		if delay, err := n.delay(); name != "real" && name != "off" && ((err == nil) != ok || (delay != nil) != ok) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDevAnnounces(t *testing.T) {
	o := devDefaults()
	nodes := []devNode{
		{"us-east-1", "us-east", api.RoleServer, "http://127.0.0.1:7400", "127.0.0.1:7500"},
		{"ap-south-1", "ap-south", api.RoleServer, "http://127.0.0.1:7401", "127.0.0.1:7501"},
		{"us-east-edge-1", "us-east", api.RoleEdge, "http://127.0.0.1:7402", "127.0.0.1:7502"},
	}
	var out strings.Builder
	if err := o.announce(&terminal{out: &out}, nodes); err != nil {
		t.Fatal(err)
	}
	var fronts strings.Builder
	for _, command := range cluster.TryFronts(cluster.Reach{URL: nodes[1].URL, Consul: nodes[1].Consul}) {
		fronts.WriteString("  " + strings.ReplaceAll(command, "\n", "\n  ") + "\n")
	}
	want := `NODE            ROLE    REGION    URL
us-east-1       server  us-east   http://127.0.0.1:7400
ap-south-1      server  ap-south  http://127.0.0.1:7401
us-east-edge-1  edge    us-east   http://127.0.0.1:7402

Ready. Write in us-east, read in ap-south:

  curl -X PUT --data world http://127.0.0.1:7402/v1/kv/eu-west/hello
  curl -i http://127.0.0.1:7401/v1/kv/eu-west/hello

See it in a browser: http://127.0.0.1:7402/ui/

The fronts are on:

` + fronts.String() + `
Stop with Ctrl-C.
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
	out.Reset()
	o.json = true
	if err := o.announce(&terminal{out: &out}, nodes[:1]); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), `{"ready":true,"nodes":[{"node":"us-east-1","region":"us-east","role":"server","url":"http://127.0.0.1:7400","consul":"127.0.0.1:7500"}]}`+"\n"; got != want {
		t.Errorf("got %s", got)
	}
}
