package transport

import (
	"net"
	"syscall"
	"time"
)

// deferAccept makes the kernel hold a new connection back until its first byte has come, or for about d (tcp(7),
// TCP_DEFER_ACCEPT): on every lane the client sends first. It does nothing if the listener has no socket.
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
