package wire

import (
	"context"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestQuietRest: while a connection rests, a few bytes are not worth waking the process; afterwards the first byte is again,
// and a lone call is answered. The socket is found under what stands around it.
func TestQuietRest(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	full := overload("full")
	conns := make(chan net.Conn, 1)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	serving.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		conns <- conn
		_ = Serve(ctx, &around{conn}, ServerConfig{Enter: func(Asked) *api.Error { return full }, Leave: func(int64) {}})
	})
	here, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(here, ClientConfig{})
	defer func() { _ = c.Close() }()
	there := <-conns
	call := func() {
		if _, err := storetest.Read(ctx, c, aRead); api.CodeOf(err) != api.CodeUnavailable {
			t.Fatal(err)
		}
	}
	until := time.Now().Add(10 * time.Second)
	for quiet := false; !quiet; quiet = lowAt(t, there) > 1 { // it rests after each few
		if call(); time.Now().After(until) {
			t.Fatal("a connection that rests is woken by each byte")
		}
	}
	for lowAt(t, there) != 1 {
		if time.Now().After(until) {
			t.Fatal("a connection that rests no more is not woken by a byte")
		}
	}
	call()
}

// around is a connection with another one in it.
type around struct{ net.Conn }

func (a *around) NetConn() net.Conn { return a.Conn }

// lowAt is how many bytes wake a process.
func lowAt(t *testing.T, conn net.Conn) (n int) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			var e error
			if n, e = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT); e != nil {
				t.Error(e)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}
