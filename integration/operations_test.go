package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cmd/edgehold/doctor"
)

// operated is a cluster with TLS and tokens, of processes, that a test operates by the command line as docs/operations says.
type operated struct {
	*fleet
	t       *testing.T
	first   *daemon // at whose admin socket commands are given
	said    bytes.Buffer
	secrets map[string]string // by what they are
	audits  []string          // the files of audit logs
}

// secretValue is a value that no log may show.
const secretValue = "value-that-no-log-may-show"

// TestOperations follows docs/operations on real processes, on TLS from the first byte: a cluster is founded from the files of init,
// servers and an edge join by tokens, a client gets a token whose secret is rotated, and a server that is lost for good is replaced,
// while the client writes. Nothing that was acknowledged is lost, the lost server is refused when it comes back, and doctor is
// content.
//
// Attack 39: no log, at the level trace, no audit log, no error, no metric, no status and no command line shows a secret or a value.
func TestOperations(t *testing.T) {
	skipUnderRace(t, "starts processes")
	t.Parallel()
	o := &operated{fleet: newFleet(t, buildBinary(t), "--log-level", "trace"), t: t, secrets: map[string]string{"a value": secretValue}}
	serverToken, edgeToken := o.found()
	b, c := o.join("a-2", serverToken), o.join("a-3", serverToken)
	edge := o.joinEdge("e-1", edgeToken)
	o.ready(o.first, b, c, edge)

	token := o.clientToken()
	w := o.write(edge, token)
	o.rotate(token)
	w.more(20)

	o.must("cluster", "transfer", "a.1", "a-2")
	b.kill() // for good
	d := o.join("a-4", o.oneToken())
	o.ready(d)
	eventually(t, time.Minute, "a-2 is replaced", func() bool { // it is refused while the group elects another leader
		status, _, _ := o.run("cluster", "replace", "a-2", "a-4", "--data", o.folder(o.first))
		return status == 0
	})
	w.more(20)
	if got := o.voters("a.1"); !slices.Equal(got, []string{"a-1", "a-3", "a-4"}) {
		t.Errorf("after a-2 was replaced by a-4, the voters are %v", got)
	}
	w.check(d)

	b.start(t)
	o.ends(b, 3, "removed")
	o.must("cluster", "remove", "e-1", "--force")
	o.ends(edge, 3, "removed")
	o.doctor()
	o.keepsSecrets()
	for _, d := range []*daemon{d, c, o.first} {
		d.stop(t)
	}
}

// found makes the files of init and starts the founder with them. It returns the files of the join tokens.
func (o *operated) found() (server, edge string) {
	o.t.Helper()
	dir := filepath.Join(o.dir, "init")
	if _, err := cluster.InitFolder(dir, time.Hour); err != nil {
		o.t.Fatal(err)
	}
	boot := filepath.Join(dir, cluster.InitBootstrap)
	o.secret("the CA's key", middle(o.t, filepath.Join(boot, "ca-key.pem")))
	server, edge = filepath.Join(dir, cluster.InitServer, cluster.InitToken), filepath.Join(dir, cluster.InitEdge, cluster.InitToken)
	o.secret("the servers' join token", o.read(server))
	o.secret("the edges' join token", o.read(edge))
	o.audits = append(o.audits, filepath.Join(o.dir, "audit"))
	o.first = o.node(o.t, "server", "a-1", "a", []string{"--bootstrap", "--init", boot, "--audit", o.audits[0]})
	o.ready(o.first)
	if err := os.RemoveAll(boot); err != nil {
		o.t.Fatal(err)
	}
	return server, edge
}

func (o *operated) join(name, tokenFile string) *daemon {
	o.t.Helper()
	return o.node(o.t, "server", name, "a", []string{"--join", o.first.address, "--join-token-file", tokenFile})
}

func (o *operated) joinEdge(name, tokenFile string) *daemon {
	o.t.Helper()
	return o.node(o.t, "edge", name, "a", []string{"--join", o.first.address, "--join-token", "@" + tokenFile})
}

// folder is the data folder of a node.
func (o *operated) folder(d *daemon) string { return filepath.Join(o.dir, d.name) }

// ready waits until the nodes are, as each says at its admin socket.
func (o *operated) ready(nodes ...*daemon) {
	o.t.Helper()
	for _, d := range nodes {
		eventually(o.t, time.Minute, d.name+" is ready", func() bool {
			if !d.running() {
				o.t.Fatalf("%s has ended: %v\n%s", d.name, d.cmd.ProcessState, d.logTail())
			}
			status, _, _ := o.run("cluster", "status", "--ready", "--data", o.folder(d))
			return status == 0
		})
		o.secret("the key of "+d.name, middle(o.t, filepath.Join(o.folder(d), "identity", "key.pem")))
	}
}

// run runs a command to its end.
func (o *operated) run(args ...string) (status int, out, errOut string) {
	var stdout, stderr bytes.Buffer
	p := o.begin(o.t, &stdout, &stderr, args...)
	<-p.exited
	o.said.WriteString(stderr.String())
	return p.cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// must runs a command at the first server, which is to succeed, and returns what it prints.
func (o *operated) must(args ...string) string {
	o.t.Helper()
	status, out, errOut := o.run(append(args, "--data", o.folder(o.first))...)
	if status != 0 {
		o.t.Fatalf("edgehold %s: status %d: %s", strings.Join(args, " "), status, errOut)
	}
	return out
}

// keep writes a secret that a command has printed into a file of its own, and returns the file's name.
func (o *operated) keep(what, text string) string {
	o.t.Helper()
	o.secret(what, text)
	file := filepath.Join(o.dir, strings.ReplaceAll(what, " ", "-"))
	o.replace(file, text)
	return file
}

func (o *operated) replace(file, text string) {
	o.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

func (o *operated) read(file string) string {
	o.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		o.t.Fatal(err)
	}
	return string(b)
}

func (o *operated) secret(what, text string) {
	o.t.Helper()
	if text = strings.TrimSpace(text); len(text) < 20 {
		o.t.Fatalf("%s is too short to be a secret: %q", what, text)
	}
	o.secrets[what] = text
}

// middle is a line of a key in PEM that no other key has.
func middle(t *testing.T, file string) string {
	t.Helper()
	text := lines(t, file)
	if len(text) < 4 {
		t.Fatalf("%s is no key in PEM", file)
	}
	return text[len(text)-2]
}

func (o *operated) oneToken() string {
	return o.keep("a join token", o.must("cluster", "token", "create", "--role", "server"))
}

// clientToken makes a token for keys below app/, and returns its file.
func (o *operated) clientToken() string {
	o.must("access", "policy", "set", "app", "--read", "app/", "--list", "app/", "--write", "app/")
	return o.keep("the client's token", o.must("access", "token", "create", "--name", "app", "--policy", "app"))
}

// rotate gives the token a new secret. The old one works for an hour longer: time to give every client the new one.
func (o *operated) rotate(file string) {
	text := o.must("access", "token", "rotate", "app", "--keep", "1h")
	o.secret("the client's new token", text)
	o.replace(file, text)
}

func (o *operated) voters(group api.GroupID) (names []string) {
	o.t.Helper()
	var s api.Status
	if err := json.Unmarshal([]byte(o.must("cluster", "status", "-o", "json")), &s); err != nil {
		o.t.Fatal(err)
	}
	for _, g := range s.Groups {
		if g.Group == group {
			for _, v := range g.Voters {
				names = append(names, string(v))
			}
		}
	}
	slices.Sort(names)
	return names
}

// ends waits until the node's process ends by itself, with the status and the word in its log.
func (o *operated) ends(d *daemon, status int, word string) {
	o.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(30 * time.Second):
		o.t.Errorf("%s still runs", d.name)
		return
	}
	if got := d.cmd.ProcessState.ExitCode(); got != status || !bytes.Contains(d.logTail(), []byte(word)) {
		o.t.Errorf("%s ended with status %d, and its log with:\n%s", d.name, got, d.logTail())
	}
}

// doctor runs doctor at the first server. What the machine is like is not the test's.
func (o *operated) doctor() {
	o.t.Helper()
	_, out, errOut := o.run("doctor", "--data", o.folder(o.first), "-o", "json")
	var found []doctor.Finding
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		o.t.Fatalf("%v: %s%s", err, out, errOut)
	}
	ok := map[string]bool{}
	for _, f := range found {
		ok[f.Check] = f.Verdict == doctor.OK
	}
	for _, check := range []string{"file-modes", "nodes", "groups", "levels", "reach", "plain", "identity", "https", "join-tokens", "anonymous"} {
		if !ok[check] {
			o.t.Errorf("doctor is not content with %s:\n%s", check, out)
		}
	}
}

// keepsSecrets looks for every secret in everything that nodes and commands have said.
func (o *operated) keepsSecrets() {
	o.t.Helper()
	places := map[string]string{"errors of commands": o.said.String(), "the status": o.must("cluster", "status", "-o", "json"), "the list of join tokens": o.must("cluster", "token", "list", "-o", "json"), "the list of tokens": o.must("access", "token", "list", "-o", "json")}
	for _, d := range o.nodes {
		places["the log of "+d.name] = o.read(d.logName())
		places["the command line of "+d.name] = strings.Join(d.args, " ")
		if d.running() {
			places["the metrics of "+d.name] = o.metrics(d)
		}
	}
	for _, file := range o.audits {
		places[file] = o.read(file)
	}
	for place, text := range places {
		if len(text) < 10 && !strings.Contains(place, "errors") {
			o.t.Errorf("%s: only %q", place, text)
		}
		for what, secret := range o.secrets {
			if strings.Contains(text, secret) || strings.Contains(text, secret[len(secret)-18:]) {
				o.t.Errorf("%s shows %s", place, what)
			}
		}
	}
	if len(o.secrets) < 9 || len(places) < 12 {
		o.t.Errorf("only %d secrets were looked for in %d places", len(o.secrets), len(places))
	}
}

// metrics are those of a node, from its admin socket.
func (o *operated) metrics(d *daemon) string {
	o.t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", filepath.Join(o.folder(d), cluster.SocketName))
	}}}
	res, err := c.Get("http://" + d.name + "/metrics")
	if err != nil {
		o.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		o.t.Fatalf("%s: %s, %v", d.name, res.Status, err)
	}
	return string(b)
}

// appWriter is a client that writes one key after the other until the test ends.
type appWriter struct {
	o     *operated
	token string
	acked atomic.Int64
	ended chan struct{}
	quit  context.CancelFunc
}

func appKey(i int64) api.Key { return api.Key(fmt.Sprintf("app/%d", i)) }

func (o *operated) client(d *daemon, token string) *client.Client {
	o.t.Helper()
	ca, err := os.ReadFile(filepath.Join(o.folder(o.first), "identity", "roots.pem"))
	if err != nil {
		o.t.Fatal(err)
	}
	c, err := client.Open(o.t.Context(), client.Config{Endpoints: []string{"https://" + d.address}, CA: ca, TokenFile: token, Timeout: 30 * time.Second})
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = c.Close() })
	return c
}

// write begins to write through the node. A write that fails, whatever happens to nodes meanwhile, fails the test.
func (o *operated) write(d *daemon, token string) *appWriter {
	ctx, quit := context.WithCancel(o.t.Context())
	w := &appWriter{o: o, token: token, ended: make(chan struct{}), quit: quit}
	c := o.client(d, token)
	go func() {
		defer close(w.ended)
		for i := int64(0); ctx.Err() == nil; i++ {
			if _, err := c.Put(context.WithoutCancel(ctx), appKey(i), []byte(secretValue)); err != nil {
				o.t.Errorf("put %s: %v", appKey(i), err)
				return
			}
			w.acked.Store(i + 1)
			time.Sleep(5 * time.Millisecond)
		}
	}()
	o.t.Cleanup(func() {
		quit()
		<-w.ended
	})
	w.more(10)
	return w
}

// more waits until so many further writes were acknowledged.
func (w *appWriter) more(n int64) {
	w.o.t.Helper()
	want := w.acked.Load() + n
	eventually(w.o.t, time.Minute, "the client's writes go on", func() bool { return w.acked.Load() >= want })
}

// check ends the writing and reads every key that was acknowledged, by a quorum.
func (w *appWriter) check(d *daemon) {
	w.o.t.Helper()
	w.quit()
	<-w.ended
	c := w.o.client(d, w.token)
	for i := range w.acked.Load() {
		v, err := c.Get(w.o.t.Context(), appKey(i), client.Quorum())
		if err != nil || string(v.Value) != secretValue {
			w.o.t.Fatalf("of %d acknowledged writes, %s is %q: %v", w.acked.Load(), appKey(i), v.Value, err)
		}
	}
}
