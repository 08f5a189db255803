package transport

import (
	"net"
	"syscall"
	"time"
)

// deferAccept has the system keep a new connection to itself until it says something (tcp(7), TCP_DEFER_ACCEPT), or has been
// silent for about d. Everything that comes to a port speaks first. Where the listener is none of the system's, nothing
// changes.
func deferAccept(l net.Listener, d time.Duration) {
	c, ok := l.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { // the port works without it
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, int(d/time.Second))
		})
	}
}
