package integration

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fleet is nodes as users run them: processes of the real binary, on loopback, each with a data folder of its own. They
// show what planets in bubbles cannot: kill -9, real sockets, real disks, the command line.
type fleet struct {
	binary string
	dir    string
	common []string // flags of every node
	spawn  func(*exec.Cmd) error
	nodes  []*daemon
	all    []*process // also of lives that have ended, and of commands
}

// process is one process that a fleet has started.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has been waited for
}

// daemon is one node of a fleet. It can be started again: the process is another one, the name, address and
// folder stay.
type daemon struct {
	*process
	fleet   *fleet
	role    string
	name    string
	address string
	args    []string
}

// newFleet is a fleet without nodes. At the end of the test all its processes are killed and waited for, and if the
// test has failed, the ends of their logs are printed.
func newFleet(t testing.TB, binary string, common ...string) *fleet {
	return newFleetOn(t, nil, binary, common...)
}

// newFleetOn is newFleet with all its processes on these processors; nil: on any.
func newFleetOn(t testing.TB, cpus []int, binary string, common ...string) *fleet {
	f := &fleet{binary: binary, dir: t.TempDir(), common: common}
	spawn, end := newSpawner(cpus...)
	f.spawn = spawn
	t.Cleanup(func() {
		for _, p := range f.all {
			p.kill()
		}
		end()
		if t.Failed() {
			for _, d := range f.nodes {
				t.Logf("the log of %s ends with\n%s", d.name, d.logTail())
			}
		}
	})
	return f
}

// server starts a server; seed is an address to join, "" bootstraps.
func (f *fleet) server(t testing.TB, name, region, seed string, more ...string) *daemon {
	t.Helper()
	how := []string{"--bootstrap"}
	if seed != "" {
		how = []string{"--join", seed}
	}
	return f.node(t, "server", name, region, append(how, more...))
}

// edge starts an edge.
func (f *fleet) edge(t testing.TB, name, region, seed string, more ...string) *daemon {
	t.Helper()
	return f.node(t, "edge", name, region, append([]string{"--join", seed}, more...))
}

func (f *fleet) node(t testing.TB, role, name, region string, args []string) *daemon {
	t.Helper()
	d := &daemon{fleet: f, role: role, name: name}
	if i := slices.Index(args, "--listen"); i >= 0 {
		d.address = args[i+1]
	} else {
		d.address = freeAddress(t)
		args = append(args, "--listen", d.address)
	}
	d.args = slices.Concat([]string{role, "--node", name, "--region", region, "--data", filepath.Join(f.dir, name)}, args, f.common)
	f.nodes = append(f.nodes, d)
	d.start(t)
	return d
}

// start starts the node's next process.
func (d *daemon) start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(d.logName(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the process has its own
	d.process = d.fleet.begin(t, log, log, d.args...)
}

// begin starts the binary.
func (f *fleet) begin(t testing.TB, out, errOut io.Writer, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(f.binary, args...), exited: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = plainEnv(), out, errOut
	if err := f.spawn(p.cmd); err != nil {
		t.Fatalf("edgehold %s: %v", strings.Join(args, " "), err)
	}
	f.all = append(f.all, p)
	go func() {
		_ = p.cmd.Wait() // its ProcessState has the result
		close(p.exited)
	}()
	return p
}

// kill is kill -9; it returns once the process is gone. It does nothing to one that has ended.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // an error: it has ended
	<-p.exited
}

// running reports whether the process has not ended.
func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// stop asks the process to end, and expects that it does, with status 0.
func (d *daemon) stop(t testing.TB) {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("%s has ended before its time: %v", d.name, d.cmd.ProcessState)
		return
	}
	select {
	case <-d.exited:
		if code := d.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%s was asked to stop and ended with status %d", d.name, code)
		}
	case <-time.After(30 * time.Second):
		t.Errorf("%s was asked to stop and has not within 30 s", d.name)
		d.kill()
	}
}

// stop ends all nodes as their operator would, edges first.
func (f *fleet) stop(t testing.TB) {
	for _, role := range []string{"edge", "server"} {
		var wg sync.WaitGroup
		for _, d := range f.nodes {
			if d.role == role {
				wg.Go(func() { d.stop(t) })
			}
		}
		wg.Wait()
	}
}

func (d *daemon) logName() string { return filepath.Join(d.fleet.dir, d.name+".log") }

func (d *daemon) logTail() []byte {
	const most = 4 << 10
	b, err := os.ReadFile(d.logName())
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-most):]
}

// ready waits until the nodes are.
func ready(t testing.TB, nodes ...*daemon) {
	t.Helper()
	for _, d := range nodes {
		eventually(t, time.Minute, d.name+" is ready", func() bool {
			if !d.running() {
				t.Fatalf("%s has ended: %v\n%s", d.name, d.cmd.ProcessState, d.logTail())
			}
			r := d.get("/readyz")
			return r.err == nil && r.status == http.StatusOK
		})
	}
}

// command is a command that talks to a node.
type command struct {
	*process
	args        []string
	out, errOut bytes.Buffer
}

// command starts a command that talks to the node.
func (d *daemon) command(t testing.TB, args ...string) *command {
	t.Helper()
	c := &command{args: append(args, "--addr", d.url())}
	c.process = d.fleet.begin(t, &c.out, &c.errOut, c.args...)
	return c
}

// done waits for the command's success.
func (c *command) done(t testing.TB) {
	t.Helper()
	<-c.exited
	if !c.cmd.ProcessState.Success() {
		t.Fatalf("edgehold %s: %v: %s", strings.Join(c.args, " "), c.cmd.ProcessState, c.errOut.String())
	}
}
