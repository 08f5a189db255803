package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
)

// SocketName is the name of a node's admin socket in its data folder.
const SocketName = "admin.sock"

// maxSocketPath bounds the path of a socket, in bytes: systems allow a few more.
const maxSocketPath = 100

// openSocket serves the HTTP API at the admin socket: a user that may open that file could read the node's disk anyway.
func (n *Node) openSocket() (func() error, error) {
	path := n.cfg.AdminSocket
	if path == "" {
		if n.cfg.Dir == "" || n.cfg.Stores != nil || portless(n.cfg.self()) {
			return nil, nil
		}
		if path = filepath.Join(n.cfg.Dir, SocketName); len(path) > maxSocketPath {
			n.log.Warn("this node has no admin socket: its path is too long; name a shorter one with --admin-socket", "path", path, "limit", maxSocketPath)
			return nil, nil
		}
	}
	l, err := adminSocket.listen(path)
	if err != nil {
		return nil, err
	}
	log := func(msg string, args ...any) { n.log.Named("socket").Warn(msg, args...) }
	s := httpd.Serve(ownUsers{l}, httpd.ServerConfig{Log: log, Handler: n.api, ConnContext: socketContext})
	return func() error { return s.Close(closeGrace) }, nil
}

// socketKind is what a socket of the file system is for: its name, and the flag that names its path.
type socketKind struct{ name, flag string }

var adminSocket = socketKind{"admin socket", "--admin-socket"}

// listen opens a socket that only the owner of this process may use. It replaces a socket that no process serves any more, and
// nothing else: CodeInvalid if something else is there, CodeConflict if a process answers there.
func (k socketKind) listen(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, k.error(path, nil, "is over the limit of %d bytes: name a shorter one with %s", maxSocketPath, k.flag)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, k.error(path, err, "has no folder, and none can be made")
	}
	if err := k.checkFolder(path); err != nil {
		return nil, err
	}
	if err := k.clear(path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		// Linux gives the file the mode of the socket: so no moment passes in which others may open it.
		ctl := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(err, ctl)
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, k.error(path, err, "cannot be opened")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, k.error(path, err, "cannot be kept from other users")
	}
	return l, nil
}

// checkFolder refuses a folder in which other users could put a socket of theirs in the place of this one. A folder with the
// sticky bit, such as /tmp, is none.
func (k socketKind) checkFolder(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return k.error(path, err, "has no folder")
	}
	if info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return k.error(path, nil, "would be in a folder that other users may write to: chmod 700 %s", dir)
	}
	return nil
}

// clear removes what a process that was killed has left at the path.
func (k socketKind) clear(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return k.error(path, err, "cannot be examined")
	case info.Mode().Type() != fs.ModeSocket:
		return k.error(path, nil, "exists and is not a socket: move it away")
	}
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "unix", path)
	if err == nil {
		_ = c.Close()
		return api.Errorf(api.CodeConflict, "another process answers at the %s %s: stop it first", k.name, path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return k.error(path, err, "exists and cannot be tried: remove it if no node runs here")
	}
	if err := os.Remove(path); err != nil {
		return k.error(path, err, "is left from an earlier process and cannot be removed")
	}
	return nil
}

func (k socketKind) error(path string, cause error, format string, args ...any) error {
	return &api.Error{Code: api.CodeInvalid, Op: "open", Err: cause, Hint: fmt.Sprintf("the %s %s %s", k.name, path, fmt.Sprintf(format, args...))}
}

// ownUsers accepts the connections of the owner of this process and of the superuser alone, as the file's mode says too.
type ownUsers struct{ net.Listener }

func (l ownUsers) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, known := peerUID(c); !known || uid == 0 || uid == os.Geteuid() {
			return c, nil
		}
		_ = c.Close()
	}
}

// socketContext makes the requests of a connection those of the principal of the admin socket.
func socketContext(ctx context.Context, c net.Conn) context.Context {
	p := front.Principal{Name: front.Socket}
	if uid, known := peerUID(c); known {
		p.From = fmt.Sprintf("uid %d", uid)
	}
	return front.WithPrincipal(ctx, &p)
}
