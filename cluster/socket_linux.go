package cluster

import (
	"net"
	"syscall"
)

// peerUID returns the user at the other end of a connection to a socket of the file system, as it was when that connected; false
// if the system does not say.
func peerUID(c net.Conn) (uid int, known bool) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, false
	}
	var cred *syscall.Ucred
	ctl := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if ctl != nil || err != nil {
		return 0, false
	}
	return int(cred.Uid), true
}
