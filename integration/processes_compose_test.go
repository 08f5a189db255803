package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	composeyaml "go.yaml.in/yaml/v3"
)

// composeFile is what of docker-compose.yml matters here.
type composeFile struct {
	Services map[string]composeService `yaml:"services"`
	Volumes  map[string]any            `yaml:"volumes"`
}

type composeService struct {
	Image       string         `yaml:"image"`
	User        string         `yaml:"user"`
	ReadOnly    bool           `yaml:"read_only"`
	Hostname    string         `yaml:"hostname"`
	Command     []string       `yaml:"command"`
	Volumes     []string       `yaml:"volumes"`
	Ports       []string       `yaml:"ports"`
	DependsOn   map[string]any `yaml:"depends_on"`
	Healthcheck struct {
		Test []string `yaml:"test"`
	} `yaml:"healthcheck"`
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	text, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var c composeFile
	if err := composeyaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestComposeFile: every service runs without rights, on a file system that is read-only, and with named volumes that there are; a
// secret of one kind of node is at no other; and no node speaks plain TCP.
func TestComposeFile(t *testing.T) {
	c := readCompose(t)
	if len(c.Services) != 13 {
		t.Errorf("%d services, not init and twelve nodes", len(c.Services))
	}
	for name, s := range c.Services {
		if s.User != "65532:65532" || !s.ReadOnly || s.Image != "edgehold:dev" {
			t.Errorf("%s runs as %q, read-only %v, from %s", name, s.User, s.ReadOnly, s.Image)
		}
		if name == "init" {
			continue
		}
		if s.Hostname != name || s.DependsOn["init"] == nil || !slices.Contains(s.Healthcheck.Test, "--data") {
			t.Errorf("%s is %+v", name, s)
		}
		if slices.Contains(s.Command, "--insecure") || slices.Contains(s.Command, "--join-token") {
			t.Errorf("%s: %v", name, s.Command)
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			_, named := c.Volumes[source]
			allowed := map[string]bool{name: true, s.Command[0]: !slices.Contains(s.Command, "--bootstrap"), "bootstrap": slices.Contains(s.Command, "--bootstrap")}
			if named && !allowed[source] || !named && !strings.HasPrefix(source, "./") {
				t.Errorf("%s mounts %s", name, v)
			}
			if named && source != name && !strings.HasSuffix(v, ":ro") {
				t.Errorf("%s may write to %s", name, v)
			}
		}
	}
}

// composed is docker-compose.yml as processes: its folders are those of one machine, and its hosts are ports.
type composed struct {
	*fleet
	file  composeFile
	ports map[string]string // by host
}

// here is an argument of a service's command, with the folders and addresses of this machine.
func (c *composed) here(service, arg string) string {
	if arg == "0.0.0.0:7400" {
		return c.ports[service]
	}
	if arg == "/init" {
		return filepath.Join(c.dir, "init")
	}
	if strings.Contains(arg, ":7400") {
		var all []string
		for a := range strings.SplitSeq(arg, ",") {
			host, _, _ := strings.Cut(a, ":")
			all = append(all, c.ports[host])
		}
		return strings.Join(all, ",")
	}
	for _, v := range c.file.Services[service].Volumes {
		parts := strings.Split(v, ":")
		source, target := parts[0], parts[1]
		rest, ok := strings.CutPrefix(arg, target)
		switch {
		case !ok || rest != "" && rest[0] != '/':
		case strings.HasPrefix(source, "./"):
			return filepath.Join("..", source, rest)
		case source == "bootstrap" || source == "server" || source == "edge":
			return filepath.Join(c.dir, "init", source, rest)
		default:
			return filepath.Join(c.dir, source, rest)
		}
	}
	return arg
}

func (c *composed) args(service string) []string {
	var args []string
	for _, a := range c.file.Services[service].Command {
		args = append(args, c.here(service, a))
	}
	return args
}

// up is `docker compose up`: init, and then all nodes at once.
func (c *composed) up(t *testing.T) {
	t.Helper()
	init := &command{args: c.args("init")}
	init.process = c.begin(t, &init.out, &init.errOut, init.args...)
	init.done(t)
	c.nodes = nil
	for name, s := range c.file.Services {
		if name == "init" {
			continue
		}
		d := &daemon{fleet: c.fleet, role: s.Command[0], name: name, address: c.ports[name], args: append(c.args(name), c.common...)}
		c.nodes = append(c.nodes, d)
		d.start(t)
	}
	for _, d := range c.nodes {
		c.healthy(t, d)
	}
}

// healthy waits until the health check of the node's service succeeds.
func (c *composed) healthy(t *testing.T, d *daemon) {
	t.Helper()
	var check []string
	for _, a := range c.file.Services[d.name].Healthcheck.Test[2:] {
		check = append(check, c.here(d.name, a))
	}
	eventually(t, 80*time.Second, d.name+" is healthy", func() bool {
		if !d.running() {
			t.Fatalf("%s has ended: %v\n%s", d.name, d.cmd.ProcessState, d.logTail())
		}
		x := &command{args: check}
		x.process = c.begin(t, &x.out, &x.errOut, check...)
		<-x.exited
		return x.cmd.ProcessState.Success()
	})
}

// TestCompose runs the services of docker-compose.yml as processes: init and twelve nodes become a planet on TLS by themselves, twice;
// what is
// written in one region is read in another; a client that trusts the root is asked for a token.
func TestCompose(t *testing.T) {
	skipUnderRace(t, "starts processes")
	c := &composed{fleet: newFleet(t, buildBinary(t), "--log-level", "warn"), file: readCompose(t), ports: map[string]string{}}
	for name := range c.file.Services {
		c.ports[name] = freeAddress(t)
	}
	c.up(t)
	data := func(service string) string { return filepath.Join(c.dir, service) }
	run := func(args ...string) string {
		t.Helper()
		x := &command{args: args}
		x.process = c.begin(t, &x.out, &x.errOut, args...)
		x.done(t)
		return strings.TrimSpace(x.out.String())
	}
	status := run("cluster", "status", "--data", data("us-east-1"))
	if n := strings.Count(status, "https://127.0.0.1:"); n != 12 || strings.Contains(status, "http://") || strings.Contains(status, "unreachable") {
		t.Errorf("%d nodes are on TLS:\n%s", n, status)
	}
	run("kv", "put", "eu-west/hello", "world", "--data", data("us-east-1"))
	if got := run("kv", "get", "eu-west/hello", "--data", data("ap-south-1")); got != "world" {
		t.Errorf("read %q", got)
	}
	x := &command{args: []string{"kv", "get", "eu-west/hello", "--addr", "https://" + c.ports["us-east-edge-1"], "--ca", filepath.Join(data("us-east-edge-1"), "identity", "roots.pem")}}
	x.process = c.begin(t, &x.out, &x.errOut, x.args...)
	if <-x.exited; !strings.Contains(x.errOut.String(), "a token is needed") {
		t.Errorf("a client without a token: %q, %q", x.out.String(), x.errOut.String())
	}
	token := filepath.Join(c.dir, "token")
	if err := os.WriteFile(token, []byte(run("access", "token", "create", "--name", "me", "--policy", "all", "--data", data("us-east-1"))), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run("kv", "get", "eu-west/hello", "--addr", "https://"+c.ports["us-east-edge-1"], "--ca", filepath.Join(data("us-east-edge-1"), "identity", "roots.pem"), "--token", "@"+token)
	if got != "world" {
		t.Errorf("a client with a token read %q", got)
	}
	again := c.nodes[slices.IndexFunc(c.nodes, func(d *daemon) bool { return d.name == "ap-south-edge-1" })]
	again.stop(t)
	run(c.args("init")...) // docker compose up, again
	again.start(t)
	c.healthy(t, again)
	c.stop(t)
}
