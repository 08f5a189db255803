package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
)

// fakeManager is a service manager's end of NOTIFY_SOCKET.
type fakeManager struct {
	socket *net.UnixConn
	env    map[string]string
}

func newManager(t *testing.T, name string) *fakeManager {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return &fakeManager{socket, map[string]string{"NOTIFY_SOCKET": name}}
}

func (m *fakeManager) lookup(name string) (string, bool) {
	v, ok := m.env[name]
	return v, ok
}

// next returns the next state that is sent to the manager.
func (m *fakeManager) next(t *testing.T) string {
	t.Helper()
	_ = m.socket.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 4096)
	n, err := m.socket.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// until reads states up to one of them, and returns those before it.
func (m *fakeManager) until(t *testing.T, state string) (before []string) {
	t.Helper()
	for {
		s := m.next(t)
		if s == state {
			return before
		}
		before = append(before, s)
	}
}

// startingNode is ready when the test says so.
type startingNode struct {
	fakeNode
	up atomic.Bool
}

func (n *startingNode) Ready(context.Context) error {
	if n.up.Load() {
		return nil
	}
	return api.Errorf(api.CodeUnavailable, "catching up")
}

// TestServiceManager checks which states of a node are sent to a service manager, over a socket in a folder and over an abstract one: what it
// waits for, that it is ready, that it is alive, and that it stops.
func TestServiceManager(t *testing.T) {
	names := []string{filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		names = append(names, fmt.Sprintf("@edgehold-test-%d", os.Getpid()))
	}
	for _, name := range names {
		m := newManager(t, name)
		m.env["WATCHDOG_USEC"] = "30000"
		m.env["WATCHDOG_PID"] = strconv.Itoa(os.Getpid())
		ctx, cancel := context.WithCancel(t.Context())
		ended, n := make(chan error, 1), &startingNode{}
		go func() { ended <- serve(ctx, n, hclog.NewNullLogger(), m.lookup) }()
		m.until(t, "STATUS=not ready yet: unavailable: catching up")
		n.up.Store(true)
		if before := m.until(t, serviceReady); !slices.Contains(before, "STATUS=ready") {
			t.Errorf("%s: before it is ready, the manager got %q", name, before)
		}
		m.until(t, serviceAlive)
		m.until(t, serviceAlive)
		cancel()
		m.until(t, serviceStopping)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// stuckNode does not answer once it is ready: its locks are held for ever.
type stuckNode struct {
	fakeNode
	stuck chan struct{}
}

func (n *stuckNode) Ready(context.Context) error {
	if n.asked.Add(1) > 1 {
		<-n.stuck
	}
	return nil
}

// TestServiceIsNotAlive checks that a node that cannot answer is not reported as alive, so that the manager restarts it.
func TestServiceIsNotAlive(t *testing.T) {
	m := newManager(t, filepath.Join(t.TempDir(), "notify"))
	service, err := openNotifier(m.lookup)
	if err != nil {
		t.Fatal(err)
	}
	service.alive = 30 * time.Millisecond
	n := &stuckNode{stuck: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		service.watch(ctx, n)
	}()
	m.until(t, serviceAlive)
	for n.asked.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	_ = m.socket.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := m.socket.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the manager got %d bytes of a node that is stuck: %v", n, err)
	}
	cancel()
	close(n.stuck)
	<-done
}

// TestNoServiceManager checks the environments in which nothing is sent, or the watchdog is not this process's.
func TestNoServiceManager(t *testing.T) {
	m := newManager(t, filepath.Join(t.TempDir(), "notify"))
	for _, c := range []struct {
		env   map[string]string
		fails bool
		sends bool
		alive time.Duration
	}{
		{env: nil},
		{env: map[string]string{"NOTIFY_SOCKET": ""}},
		{env: map[string]string{"NOTIFY_SOCKET": "vsock:2:1234"}, fails: true},
		{env: map[string]string{"NOTIFY_SOCKET": "/nowhere/notify"}, fails: true},
		{env: m.env, sends: true},
		{env: map[string]string{"NOTIFY_SOCKET": m.env["NOTIFY_SOCKET"], "WATCHDOG_USEC": "x"}, sends: true},
		{env: map[string]string{"NOTIFY_SOCKET": m.env["NOTIFY_SOCKET"], "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, sends: true},
		{env: map[string]string{"NOTIFY_SOCKET": m.env["NOTIFY_SOCKET"], "WATCHDOG_USEC": "3000000"}, sends: true, alive: 3 * time.Second},
	} {
		n, err := openNotifier((&fakeManager{env: c.env}).lookup)
		if (err != nil) != c.fails || (n.socket != nil) != c.sends || n.alive != c.alive {
			t.Errorf("%v: %+v, %v", c.env, n, err)
		}
		n.send(serviceReady)
		n.watch(canceled(), &fakeNode{ready: func() {}})
		n.close()
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// unitFile is the example of a service.
const unitFile = "../../docs/examples/edgehold.service"

// TestUnitFile holds the example of a service to what the documentation promises of it.
func TestUnitFile(t *testing.T) {
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	set, section := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		default:
			name, value, ok := strings.Cut(line, "=")
			if !ok || section == "" {
				t.Errorf("%q is no setting of a section", line)
			}
			set[section+"."+name] = value
		}
	}
	for name, want := range map[string]string{
		"Service.Type": "notify", "Service.WatchdogSec": "30", "Service.StateDirectory": "edgehold", "Service.ProtectSystem": "strict",
		"Service.NoNewPrivileges": "true", "Service.LimitNOFILE": "65536", "Service.LimitCORE": "0", "Service.TimeoutStopSec": "30",
		"Service.RestartPreventExitStatus": "3", "Service.Restart": "on-failure", "Install.WantedBy": "multi-user.target",
		"Service.StateDirectoryMode": "0700",
	} {
		if set[name] != want {
			t.Errorf("%s is %q, want %q", name, set[name], want)
		}
	}
	if got := set["Service.LoadCredential"]; got != "join:/etc/edgehold/join" {
		t.Errorf("the join token is %q", got)
	}
	if sec, err := strconv.Atoi(set["Service.TimeoutStopSec"]); err != nil || time.Duration(sec)*time.Second <= stopTimeout {
		t.Errorf("TimeoutStopSec=%s kills a node that may take %v to stop", set["Service.TimeoutStopSec"], stopTimeout)
	}
}

// TestUnitFileVerified has systemd read the example, with this test's binary in place of the one that it starts.
func TestUnitFileVerified(t *testing.T) {
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed (Debian: apt-get install systemd)")
	}
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "edgehold.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/edgehold", self)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), verify, "verify", "--man=no", "--recursive-errors=no", unit).CombinedOutput()
	if err != nil || strings.Contains(string(out), "edgehold.service:") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
