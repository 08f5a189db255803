package cluster

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// TestRESPPlaces: RESP is answered at the node's port, and at a socket that only the node's user may open and that ends with the node; at
// a node without the front, a connection that begins with an array is closed.
func TestRESPPlaces(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "resp.sock")
	ping := func(network, address string) string {
		t.Helper()
		c, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }() // it was read
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.WriteString(c, "*1\r\n$4\r\nPING\r\n"); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 7)
		n, _ := io.ReadFull(c, b)
		return string(b[:n])
	}
	for _, on := range []bool{true, false} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{
			ID: "s1", Region: "r", Role: api.RoleServer, Listener: l, Bootstrap: true, Busy: func() bool { return false },
			Stores: func(api.GroupID) (logstore.Stores, error) { return logstore.NewMemory(0).Stores() },
		}
		if on {
			cfg.Fronts, cfg.RESPSocket = []string{"resp"}, socket
		}
		n, err := Open(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{true: "+PONG\r\n"}[on]
		if got := ping("tcp", l.Addr().String()); got != want {
			t.Errorf("on: %v: the port answers %q", on, got)
		}
		info, err := os.Lstat(socket)
		switch {
		case !on && !errors.Is(err, fs.ErrNotExist):
			t.Errorf("a socket without the front: %v", err)
		case on && (err != nil || info.Mode().Perm() != 0o600 || ping("unix", socket) != want):
			t.Errorf("the socket: %v, %v", info, err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket outlives the node: %v", err)
		}
	}
}
