package main

import (
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/cluster"
)

// TestDataFolder: with --data a command talks to the node at its admin socket, without a token, and says what is wrong if there is
// none. The --data of the environment is the node's own.
func TestDataFolder(t *testing.T) {
	p, dir := newPlanet(t), t.TempDir()
	path := filepath.Join(dir, cluster.SocketName)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: p.Config}
	s.Start()
	defer s.Close()
	nowhere := map[string]string{"EDGEHOLD_ADDR": "http://127.0.0.1:1", "EDGEHOLD_TOKEN": "secret", "EDGEHOLD_DATA": "elsewhere"}
	for _, data := range []string{dir, path} {
		i := &invocation{env: nowhere}
		if i.run("cluster", "status", "--data", data); i.status != 0 || !strings.Contains(i.out, "cluster c1") {
			t.Errorf("exit %d, %s", i.status, i.err)
		}
		if h := p.last().Header.Get("Authorization"); h != "" {
			t.Errorf("the token is sent to the socket: %q", h)
		}
	}
	empty := t.TempDir()
	left := filepath.Join(empty, "left.sock")
	dead, err := net.Listen("unix", left)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = dead.Close()
	file := writeFile(t, "file", "")
	for _, c := range []struct {
		data   string
		status int
		says   string
	}{
		{empty, 1, "no node runs there"},
		{filepath.Join(empty, "none"), 1, "no node runs there"},
		{left, 1, "no node answers at " + left},
		{file, 2, "is no admin socket"},
	} {
		i := &invocation{env: nowhere}
		if i.run("cluster", "status", "--ready", "--data", c.data); i.status != c.status || !strings.Contains(i.err, c.says) || strings.Count(i.err, "\n") != 1 {
			t.Errorf("%s: exit %d, %q", c.data, i.status, i.err)
		}
	}
	if i := (&invocation{env: map[string]string{"EDGEHOLD_DATA": empty, "EDGEHOLD_ADDR": p.URL}}).run("cluster", "status"); i.status != 0 {
		t.Errorf("with a node's --data in the environment: %q", i.err)
	}
	_ = os.Remove(left)
}
