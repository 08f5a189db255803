package transport

import (
	"net"
	"testing"
	"time"
)

// TestSilentIsNotAccepted: a silent connection costs the process nothing, and is served as soon as it sends a byte.
func TestSilentIsNotAccepted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(Config{Listener: l})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	all := dialMany(t, l.Addr().String(), 100)
	defer func() {
		for _, c := range all {
			_ = c.Close()
		}
	}()
	time.Sleep(100 * time.Millisecond) // there is no event to wait for; the kernel holds them back for at least a second
	if n := p.Unmatched(); n != 0 {
		t.Errorf("%d silent connections were accepted", n)
	}
	for _, c := range all[:10] {
		echo(t, p.Peer(), "peer")
		if _, err := c.Write([]byte{lanePeer, 0, 0}); err != nil {
			t.Fatal(err)
		}
		expectEcho(t, c, nil, "peer")
	}
}
