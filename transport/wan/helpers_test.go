package wan

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// exact is a table of whole distances, for tests that look at the clock.
func exact(oneWay time.Duration) *Table {
	return &Table{others: Link{Latency: oneWay}, inside: Link{Latency: time.Millisecond}}
}

// connected is a connection of the fabric from a in region A to b in region B.
func connected(t *testing.T, f *Fabric) (a, b net.Conn) {
	t.Helper()
	for node, region := range map[string]string{"a": "A", "b": "B"} {
		if _, err := f.Listen(node, region); err != nil {
			t.Fatal(err)
		}
	}
	return another(t, f, "a", "b")
}

func another(t *testing.T, f *Fabric, from, to string) (near, far net.Conn) {
	t.Helper()
	near, err := f.Dial(context.Background(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	l := f.listeners[to]
	f.mu.Unlock()
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if n, err := io.WriteString(c, text); err != nil || n != len(text) {
		t.Fatalf("write of %q: %d, %v", text, n, err)
	}
}

// expect reads the text and returns how long that took.
func expect(t *testing.T, c net.Conn, text string) time.Duration {
	t.Helper()
	start := time.Now()
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != text {
		t.Fatalf("read %q, %v; want %q", b, err, text)
	}
	return time.Since(start)
}

// expectError reads until the error and returns how long that took.
func expectError(t *testing.T, c net.Conn, want error) time.Duration {
	t.Helper()
	start := time.Now()
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, want) {
		t.Fatalf("read: %d, %v; want %v", n, err, want)
	}
	return time.Since(start)
}

func near(d, want time.Duration) bool { return d >= want && d < want+time.Millisecond }
