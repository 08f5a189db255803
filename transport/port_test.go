package transport

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{})
		ctx := t.Context()
		echo(t, p.Raft("us-east.1"), "raft 1")
		echo(t, p.Raft("us-east.2"), "raft 2")
		echo(t, p.Peer(), "peer")
		echo(t, p.Calls(), "calls")
		c, err := p.dialer.DialRaft(ctx, "port", "us-east.2")
		expectEcho(t, c, err, "raft 2")
		c, err = p.dialer.DialRaft(ctx, "port", "us-east.1")
		expectEcho(t, c, err, "raft 1")
		c, err = p.dialer.DialPeer(ctx, "port", "")
		expectEcho(t, c, err, "peer")
		c, err = p.dialer.DialCalls(ctx, "port", "n")
		expectEcho(t, c, err, "calls")
		for _, words := range []string{"GET /", "get /", "\r\nG /", "\n\nG /", "+OK\r\n"} { // as many bytes as echo reads
			echo(t, p.HTTP(), "http")
			c = p.raw(t, words)
			if b, err := io.ReadAll(c); err != nil || string(b) != "http "+words {
				t.Errorf("http: got %q, %v", b, err)
			}
		}
		if n := p.Unmatched(); n != 0 {
			t.Errorf("%d connections count as unmatched", n)
		}
	})
}

// TestRESP: a connection that begins with an array goes to the lane of RESP, and is closed if that is not open.
func TestRESP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{})
		refused := func() {
			t.Helper()
			c := p.raw(t, "*1\r\n$")
			closedAfter(t, c, time.Millisecond)
			_ = c.Close()
		}
		refused()
		l := p.RESP()
		echo(t, l, "resp")
		if b, err := io.ReadAll(p.raw(t, "*1\r\n$")); err != nil || string(b) != "resp *1\r\n$" {
			t.Errorf("got %q, %v", b, err)
		}
		_ = l.Close()
		refused()
		_ = p.Close()
		if _, err := p.RESP().Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a lane of a closed port: %v", err)
		}
	})
}

// TestRaftLanesComeAndGo: unknown groups are refused at once; lanes close by themselves and open again.
func TestRaftLanesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{})
		ctx := t.Context()
		refused := func() {
			t.Helper()
			c, err := p.dialer.DialRaft(ctx, "port", "g")
			if err != nil {
				t.Fatal(err)
			}
			closedAfter(t, c, time.Millisecond)
			_ = c.Close()
		}
		refused()
		old := p.Raft("g")
		waiting, err := p.dialer.DialRaft(ctx, "port", "g")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		next := p.Raft("g")
		closedAfter(t, waiting, time.Millisecond)
		if _, err := old.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept of a lane that was opened again: %v", err)
		}
		_ = old.Close()
		echo(t, next, "next")
		c, err := p.dialer.DialRaft(ctx, "port", "g")
		expectEcho(t, c, err, "next")
		_, _ = next.Close(), next.Close()
		refused()
		echo(t, p.Peer(), "peer")
		c, err = p.dialer.DialPeer(ctx, "port", "")
		expectEcho(t, c, err, "peer")
	})
}

// TestAnswers: the peer lane takes connections that name this port, and those without a name; the lane of calls only the
// former.
func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{Answers: func(name string) bool { return name == "c/n" }})
		echo(t, p.Calls(), "calls")
		c, err := p.dialer.DialCalls(t.Context(), "port", "c/n")
		expectEcho(t, c, err, "calls")
		if c, err = p.dialer.DialCalls(t.Context(), "port", "c/other"); err != nil {
			t.Fatal(err)
		}
		closedAfter(t, c, time.Millisecond)
		_ = c.Close()
		if _, err := p.dialer.DialCalls(t.Context(), "port", ""); err == nil {
			t.Error("calls without a name went through")
		}
		for name, taken := range map[string]bool{"c/n": true, "": true, "c/other": false, "other/n": false} {
			if taken {
				echo(t, p.Peer(), "peer")
			}
			c, err := p.dialer.DialPeer(t.Context(), "port", name)
			switch {
			case taken:
				expectEcho(t, c, err, "peer")
			case err != nil:
				t.Error(err)
			default:
				closedAfter(t, c, time.Millisecond)
				_ = c.Close()
			}
		}
	})
}

// TestLaneCloseKeepsThePort: what a service closes at its end is its lane alone.
func TestLaneCloseKeepsThePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{})
		_ = p.Peer().Close()
		c, err := p.dialer.DialPeer(t.Context(), "port", "")
		if err != nil {
			t.Fatal(err)
		}
		closedAfter(t, c, time.Millisecond)
		echo(t, p.HTTP(), "http")
		if b, err := io.ReadAll(p.raw(t, "GET /")); err != nil || string(b) != "http GET /" {
			t.Errorf("http: got %q, %v", b, err)
		}
	})
}

// TestUnwelcome: a connection that sends nothing, too little or nonsense is closed in time, and delays no other.
func TestUnwelcome(t *testing.T) {
	for name, c := range map[string]struct {
		words string
		after time.Duration
	}{
		"silent":            {"", 2 * time.Second},
		"raft, no length":   {"\x01", 2 * time.Second},
		"raft, half a name": {"\x01\x09us-e", 2 * time.Second},
		"raft, no caller":   {"\x01\x01x", 2 * time.Second},
		"raft, no name":     {"\x01\x00\x00", 0},
		"raft, unknown":     {"\x01\x01x\x01y", 0},
		"garbage":           {"\x16\x03\x01 what is this?", 0},
		"not a text":        {" GET / HTTP/1.1\r\n\r\n", 0},
		"another alphabet":  {"\xffGET / HTTP/1.1\r\n\r\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, Config{Preface: 2 * time.Second})
				p.Raft("us-east")
				if d := closedAfter(t, p.raw(t, c.words), time.Minute); d != c.after {
					t.Errorf("closed after %v, want %v", d, c.after)
				}
				synctest.Wait()
				if n := p.Unmatched(); n != 0 {
					t.Errorf("%d connections are left", n)
				}
			})
		})
	}
}

// TestSlowPreface: the time is for all of the preface, however it drips.
func TestSlowPreface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{Preface: 2 * time.Second})
		start := time.Now()
		c := p.raw(t, "")
		var dripping sync.WaitGroup
		dripping.Go(func() {
			for _, b := range []byte("\x01\xff" + strings.Repeat("x", 255)) {
				time.Sleep(700 * time.Millisecond)
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
		})
		closedAfter(t, c, time.Minute)
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("closed after %v", d)
		}
		_ = c.Close()
		dripping.Wait()
	})
}

// TestOldestGoes: those that keep silent do not shut out those that talk.
func TestOldestGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{MaxUnmatched: 10})
		var silent []net.Conn
		for range 25 {
			silent = append(silent, p.raw(t, ""))
			synctest.Wait()
		}
		if n := p.Unmatched(); n != 10 {
			t.Errorf("%d connections are unmatched, want 10", n)
		}
		for _, c := range silent[:15] {
			closedAfter(t, c, time.Millisecond)
		}
		echo(t, p.Peer(), "peer")
		c, err := p.dialer.DialPeer(t.Context(), "port", "")
		expectEcho(t, c, err, "peer")
	})
}

// TestLaneLimits: a lane takes no more connections than it may have open, or have waiting; closing one makes room.
func TestLaneLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{MaxRaftConns: 2, Queue: 2, MaxConns: 100})
		lane := p.Raft("g")
		dial := func() net.Conn {
			t.Helper()
			c, err := p.dialer.DialRaft(t.Context(), "port", "g")
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return c
		}
		dial()
		dial()
		closedAfter(t, dial(), time.Millisecond)
		first, err := lane.Accept()
		if err != nil {
			t.Fatal(err)
		}
		closedAfter(t, dial(), time.Millisecond)
		_, _ = first.Close(), first.Close()
		dial()
		closedAfter(t, dial(), time.Millisecond)
		for range 2 {
			p.raw(t, "GET /")
		}
		synctest.Wait()
		closedAfter(t, p.raw(t, "GET /"), time.Millisecond)
	})
}

// TestCloseEndsEverything: connections at every stage, and then none, nor a goroutine: the bubble waits for all.
func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{})
		lane := p.Raft("g")
		conns := []net.Conn{p.raw(t, ""), p.raw(t, "\x01"), p.raw(t, "\x01\x01g"), p.raw(t, "\x02"), p.raw(t, "GET /")}
		taken := p.raw(t, "PUT /")
		synctest.Wait()
		var accepted []net.Conn
		for range 2 {
			c, err := p.HTTP().Accept()
			if err != nil {
				t.Fatal(err)
			}
			accepted = append(accepted, c)
		}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		for _, c := range conns[:4] {
			closedAfter(t, c, time.Millisecond)
		}
		for _, l := range []net.Listener{lane, p.Raft("late"), p.Peer(), p.Calls(), p.HTTP()} {
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("accept after Close: %v", err)
			}
		}
		for _, c := range accepted { // these stay open
			if _, err := io.WriteString(c, "still here"); err != nil {
				t.Error(err)
			}
			_ = c.Close()
		}
		if b, err := io.ReadAll(taken); err != nil || string(b) != "still here" {
			t.Errorf("an accepted connection: %q, %v", b, err)
		}
	})
}

// wanting is a listener without descriptors, for a while.
type wanting struct {
	net.Listener
	times int
}

func (l *wanting) Accept() (net.Conn, error) {
	if l.times > 0 {
		l.times--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// TestAcceptOutlivesErrors: a want of descriptors ends no port, nor does it spin.
func TestAcceptOutlivesErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, Config{}).fabric
		l, err := f.Listen("wanting", "")
		if err != nil {
			t.Fatal(err)
		}
		p, err := Open(Config{Listener: &wanting{l, 10}})
		if err != nil {
			t.Fatal(err)
		}
		echo(t, p.Peer(), "peer")
		start := time.Now()
		c, err := Dialer{Dial: f.Dialer("client")}.DialPeer(t.Context(), "wanting", "")
		expectEcho(t, c, err, "peer")
		if d := time.Since(start); d < time.Second || d > 10*time.Second {
			t.Errorf("10 errors cost %v", d)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		l, err = f.Listen("wanting", "")
		if err != nil {
			t.Fatal(err)
		}
		if p, err = Open(Config{Listener: &wanting{l, 1 << 30}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		start = time.Now()
		if err := p.Close(); err != nil || time.Since(start) != 0 {
			t.Errorf("close took %v, %v", time.Since(start), err)
		}
	})
}

func TestOpenNeedsAListener(t *testing.T) {
	if _, err := Open(Config{}); err == nil {
		t.Error("a port without a listener is open")
	}
}
