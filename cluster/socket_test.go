package cluster

import (
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
)

// ask sends a GET to the socket.
func askSocket(path, url string) (string, error) {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
	res, err := c.Get("http://socket" + url)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res.Status + " " + string(b), err
}

// TestSocketPlace: the admin socket takes the place of a socket that no process serves, and of nothing else. Attack 40.
func TestSocketPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "admin.sock")
	refused := func(name string, code api.Code, says string) {
		t.Helper()
		l, err := adminSocket.listen(path)
		if err == nil {
			_ = l.Close()
		}
		if api.CodeOf(err) != code || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := filepath.Join(dir, "other")
	write(other, "kept")
	if err := os.Symlink(other, path); err != nil {
		t.Fatal(err)
	}
	refused("a symlink", api.CodeInvalid, "is not a socket")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(path, "kept")
	refused("a file", api.CodeInvalid, "is not a socket")
	if b, err := os.ReadFile(path); string(b) != "kept" {
		t.Errorf("the file is now %q, %v", b, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	refused("a folder of all users", api.CodeInvalid, "chmod 700 "+dir)
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := adminSocket.listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
	refused("a socket in use", api.CodeConflict, "another process answers")
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as if the process were killed
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = adminSocket.listen(path); err != nil {
		t.Errorf("a socket that was left behind: %v", err)
	} else if err := l.Close(); err != nil {
		t.Error(err)
	}
	path = filepath.Join(dir, strings.Repeat("x", maxSocketPath))
	refused("a long path", api.CodeInvalid, "--admin-socket")
}

// TestSocketPrincipal: requests at the admin socket are those of the principal "socket", with the user at its other end.
func TestSocketPrincipal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "admin.sock")
	l, err := adminSocket.listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := httpd.Serve(ownUsers{l}, httpd.ServerConfig{ConnContext: socketContext, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := front.PrincipalFrom(r.Context())
		_, _ = io.WriteString(w, p.Name+" "+p.From)
	})})
	defer func() {
		if err := s.Close(time.Second); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); err == nil {
			t.Error("the socket is left behind")
		}
	}()
	if got, err := askSocket(path, "/"); err != nil || !strings.HasPrefix(got, "200 OK socket") {
		t.Errorf("%q, %v", got, err)
	}
}

// TestNodeSocket: a node with a data folder answers the HTTP API at its admin socket, until it closes.
func TestNodeSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n, err := Open(t.Context(), Config{ID: "s1", Region: "r", Role: api.RoleServer, Listener: l, Dir: dir, Memory: true, Bootstrap: true})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, SocketName)
	if got, err := askSocket(path, "/livez"); err != nil || !strings.HasPrefix(got, "200") {
		t.Errorf("%q, %v", got, err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, err := askSocket(path, "/livez"); err == nil {
		t.Error("a closed node answers at its socket")
	}
}
