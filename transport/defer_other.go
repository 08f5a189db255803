//go:build !linux

package transport

import (
	"net"
	"time"
)

// deferAccept is for systems that can: the port works without it.
func deferAccept(net.Listener, time.Duration) {}
