package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/edgehold/edgehold/transport/wan"
)

// place is a port in a fabric, for bubbles.
type place struct {
	*Port
	fabric *wan.Fabric
	dialer Dialer
}

func open(t *testing.T, cfg Config) place {
	t.Helper()
	f := wan.NewFabric(1, wan.Off())
	l, err := f.Listen("port", "")
	if err != nil {
		t.Fatal(err)
	}
	f.Place("client", "")
	cfg.Listener = l
	p, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return place{p, f, Dialer{Dial: f.Dialer("client")}}
}

// raw connects and says the words.
func (p place) raw(t *testing.T, words string) net.Conn {
	t.Helper()
	c, err := p.dialer.Dial(context.Background(), "port")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, words); err != nil {
		t.Fatal(err)
	}
	return c
}

// echo answers one connection of a lane with what it says, and the name.
func echo(t *testing.T, l net.Listener, name string) {
	t.Helper()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		b := make([]byte, 5)
		if _, err := io.ReadFull(c, b); err == nil {
			_, _ = io.WriteString(c, name+" "+string(b))
		}
	}()
}

// expectEcho sends hello and reads which lane answers.
func expectEcho(t *testing.T, c net.Conn, err error, name string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != name+" hello" {
		t.Errorf("%s: got %q, %v", name, b, err)
	}
}

// closedAfter waits until the other side closes.
func closedAfter(t *testing.T, c net.Conn, atMost time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	_ = c.SetReadDeadline(start.Add(atMost))
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("read: %d, %v", n, err)
	} else if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		t.Fatalf("the connection is open after %v", atMost)
	}
	return time.Since(start)
}
