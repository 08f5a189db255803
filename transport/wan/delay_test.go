package wan

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// delayedPair is a connection of a fabric without distance, with a Delay at the dialling side.
func delayedPair(t *testing.T, there, back Link) (dialled, accepted net.Conn) {
	t.Helper()
	a, b := connected(t, NewFabric(1, Off()))
	return Delay(a, there, back), b
}

func TestDelayBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := delayedPair(t, Link{Latency: 40 * time.Millisecond}, Link{Latency: 30 * time.Millisecond})
		send(t, a, "there")
		if d := expect(t, b, "there"); !near(d, 40*time.Millisecond) {
			t.Errorf("there: %v", d)
		}
		send(t, b, "back")
		if d := expect(t, a, "back"); !near(d, 30*time.Millisecond) {
			t.Errorf("back: %v", d)
		}
		_ = a.Close()
		expectError(t, b, io.EOF)
	})
}

// TestDelayKeepsThroughput: what is under way does not wait for what is before it to be answered.
func TestDelayKeepsThroughput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := delayedPair(t, Link{Latency: 100 * time.Millisecond, Jitter: 5 * time.Millisecond}, Link{})
		sent := bytes.Repeat([]byte("0123456789abcdef"), 2<<20/16)
		go func() {
			for part := sent; len(part) > 0; part = part[1024:] {
				_, _ = a.Write(part[:1024])
			}
			_ = a.Close()
		}()
		start := time.Now()
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("%d bytes arrived, %v", len(got), err)
		}
		if d := time.Since(start); d > 120*time.Millisecond {
			t.Errorf("2 MiB took %v", d)
		}
	})
}

// TestDelayCloseSendsTheRest: what was written before Close arrives, and the goroutines end.
func TestDelayCloseSendsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := delayedPair(t, Link{Latency: 40 * time.Millisecond}, Link{Latency: 40 * time.Millisecond})
		send(t, a, "goodbye")
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		expectError(t, a, net.ErrClosed)
		if d := expect(t, b, "goodbye"); !near(d, 40*time.Millisecond) {
			t.Errorf("it took %v", d)
		}
		expectError(t, b, io.EOF)
	}) // which ends only when every goroutine has
}

// TestDelayCloseIsBounded: a peer that reads nothing does not keep a closed connection.
func TestDelayCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := delayedPair(t, Link{Latency: time.Millisecond}, Link{Latency: time.Millisecond})
		if err := a.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		_, _ = a.Write(make([]byte, 3*window))
		_ = a.Close()
		start := time.Now()
		synctest.Wait()
		time.Sleep(linger + time.Second)
		_ = b.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, b); err != nil {
			t.Errorf("after %v the connection is still open: %v", time.Since(start), err)
		}
	})
}

// TestDelayReset: an end by error comes after what was sent before it.
func TestDelayReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFabric(1, Off())
		c, b := connected(t, f)
		a := Delay(c, Link{Latency: 40 * time.Millisecond}, Link{Latency: 40 * time.Millisecond})
		send(t, b, "last words")
		f.Crash("b")
		expect(t, a, "last words")
		if _, err := a.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("read after a reset: %v", err)
		}
		if _, err := a.Write([]byte("x")); err == nil {
			t.Error("a write after a reset has worked")
		}
		_ = a.Close()
	})
}

// TestDelayOff: no distance, no wrapper.
func TestDelayOff(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if c := Off().Delay(a, "us-east", "eu-west"); c != a {
		t.Error("a connection without distance is wrapped")
	}
}

// BenchmarkDelay is what a delayed connection costs beside the socket: one byte of each operation is a byte sent.
func BenchmarkDelay(b *testing.B) {
	for name, link := range map[string]Link{"off": {}, "40ms": {Latency: 40 * time.Millisecond}} {
		b.Run(name, func(b *testing.B) {
			near, far, err := sockets()
			if err != nil {
				b.Fatal(err)
			}
			c := Delay(near, link, link)
			const size = 16 << 10
			b.SetBytes(size)
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				defer cancel()
				_, _ = io.Copy(io.Discard, far)
			}()
			for b.Loop() {
				if _, err := c.Write(make([]byte, size)); err != nil {
					b.Fatal(err)
				}
			}
			_ = c.Close()
			<-ctx.Done()
			_ = far.Close()
		})
	}
}
