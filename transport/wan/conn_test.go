package wan

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// TestFabricConn holds a connection of the fabric to what every net.Conn promises.
func TestFabricConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		f := NewFabric(1, &Table{others: Link{Latency: 100 * time.Microsecond, Jitter: 100 * time.Microsecond}})
		l, err := f.Listen("b", "B")
		if err != nil {
			return nil, nil, nil, err
		}
		f.Place("a", "A")
		if c1, err = f.Dial(context.Background(), "a", "b"); err != nil {
			return nil, nil, nil, err
		}
		c2, err = l.Accept()
		return c1, c2, func() { _, _, _ = c1.Close(), c2.Close(), l.Close() }, err
	})
}

// TestDelayConn holds a delayed socket to the same.
func TestDelayConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		near, far, err := sockets()
		if err != nil {
			return nil, nil, nil, err
		}
		link := Link{Latency: 100 * time.Microsecond}
		c1 = Delay(near, link, link)
		return c1, far, func() { _, _ = c1.Close(), far.Close() }, nil
	})
}

// sockets is a real connection.
func sockets() (near, far net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = l.Close() }()
	var d net.Dialer
	if near, err = d.DialContext(context.Background(), "tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	far, err = l.Accept()
	return near, far, err
}
