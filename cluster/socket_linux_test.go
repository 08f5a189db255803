package cluster

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
)

// askAs sends a GET to the socket as another user. The thread that changes its user ends with the goroutine.
func askAs(uid int, path string) (string, error) {
	type answer struct {
		text string
		err  error
	}
	done := make(chan answer)
	go func() {
		runtime.LockOSThread()
		text, err := func() (string, error) {
			id := uintptr(uid)
			if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, id, id, id); e != 0 {
				return "", e
			}
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			if err != nil {
				return "", err
			}
			defer func() { _ = syscall.Close(fd) }()
			if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
				return "", err
			}
			if _, err := syscall.Write(fd, []byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
				return "", err
			}
			b := make([]byte, 1024)
			n, err := syscall.Read(fd, b)
			return string(b[:max(n, 0)]), err
		}()
		done <- answer{text, err}
	}()
	a := <-done
	return a.text, a.err
}

// TestSocketUsers: no other user is answered at the admin socket: the file's mode keeps them out, and if that were changed, the
// node does. Attack 40.
func TestSocketUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only the superuser can become another user")
	}
	dir, err := os.MkdirTemp("", "socket") //nolint:usetesting // its parents are open to all users
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "admin.sock")
	l, err := adminSocket.listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := httpd.Serve(ownUsers{l}, httpd.ServerConfig{ConnContext: socketContext, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "answered "+front.PrincipalFrom(r.Context()).From)
	})})
	defer func() { _ = s.Close(time.Second) }()
	if got, err := askAs(0, path); err != nil || !strings.Contains(got, fmt.Sprintf("answered uid %d", 0)) {
		t.Errorf("the owner: %q, %v", got, err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := askAs(65534, path); !errors.Is(err, syscall.EACCES) {
		t.Errorf("another user opens the socket: %v", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if got, err := askAs(65534, path); strings.Contains(got, "answered") {
		t.Errorf("another user is answered: %q, %v", got, err)
	}
}
