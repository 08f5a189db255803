package wire

import (
	"net"
	"syscall"
)

// A connection that rests is not read, but each packet that comes for it would wake a process that waits for others. So the
// system is told meanwhile that a little is not worth it.

// quietBytes may come before the process is woken for them. The system makes room for as many, so they are few.
const quietBytes = 64 << 10

// quietly is the socket under a connection, where there is one that can be told; nil: nothing is told.
func quietly(conn any) syscall.RawConn {
	for {
		switch c := conn.(type) {
		case syscall.Conn:
			raw, err := c.SyscallConn()
			if err != nil {
				return nil // it is closed
			}
			return raw
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}

// wakeAt says how many bytes of the socket are worth waking somebody. Where it cannot be said, each is.
func wakeAt(socket syscall.RawConn, bytes int) {
	if socket != nil {
		_ = socket.Control(func(fd uintptr) { setLowAt(fd, bytes) })
	}
}
