package transport

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestDialerNames(t *testing.T) {
	for _, group := range []string{"", strings.Repeat("x", 256)} {
		if _, err := (Dialer{}).DialRaft(t.Context(), "port", group); err == nil {
			t.Errorf("a group name of %d bytes is taken", len(group))
		}
	}
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{})
		long := strings.Repeat("x", 255)
		echo(t, p.Raft(long), "long")
		c, err := p.dialer.DialRaft(t.Context(), "port", long)
		expectEcho(t, c, err, "long")
	})
}

// TestDialerObeysItsContext: also if the other end takes no byte.
func TestDialerObeysItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe() // a write waits for a read
		defer func() { _ = b.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d := Dialer{Dial: func(context.Context, string) (net.Conn, error) { return a, nil }}
		if c, err := d.DialPeer(ctx, "port", ""); err == nil {
			t.Errorf("got %v", c)
		}
		refused := errors.New("refused")
		d.Dial = func(context.Context, string) (net.Conn, error) { return nil, refused }
		if _, err := d.DialPeer(ctx, "port", ""); !errors.Is(err, refused) {
			t.Errorf("got %v", err)
		}
	})
}
