package resp

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
)

// inBubble runs a test with a server, whose time stands still while all wait.
func inBubble(t *testing.T, s *spy, change func(f *front.Config, c *Config), test func(t *testing.T, srv *Server, dial func() *wireConn)) {
	synctest.Test(t, func(t *testing.T) {
		f, c := front.Config{Store: s, Lister: s}, Config{}
		if change != nil {
			change(&f, &c)
		}
		srv := New(front.New(f), c)
		test(t, srv, func() *wireConn {
			mine, theirs := net.Pipe()
			srv.take(theirs)
			t.Cleanup(func() { _ = mine.Close() })
			synctest.Wait()
			w := newWireConn(t, mine)
			_ = mine.SetDeadline(time.Time{})
			return w
		})
	})
}

// TestConnectionsAreBounded: for a connection over the bound the one is closed that has been idle for the longest time, or the new
// one is refused if none has been.
func TestConnectionsAreBounded(t *testing.T) {
	inBubble(t, newSpy(), func(_ *front.Config, c *Config) { c.MaxConns = 2 }, func(t *testing.T, srv *Server, dial func() *wireConn) {
		first, second := dial(), dial()
		first.ask("PING")
		time.Sleep(time.Second / 2)
		second.ask("PING")
		third := dial()
		if got := third.receive(); got != "-"+string(errMaxClients)+"\r\n" {
			t.Errorf("none was idle for long: got %q", got)
		}
		time.Sleep(time.Second)
		first.ask("PING")
		fourth := dial()
		if got := second.receive(); got != "" {
			t.Errorf("the second was idle for longest: got %q", got)
		}
		if first.ask("PING") != "+PONG\r\n" || fourth.ask("PING") != "+PONG\r\n" {
			t.Error("another connection was closed")
		}
		if n := srv.open(); n != 2 {
			t.Errorf("%d connections are open", n)
		}
		if err := srv.Close(time.Second); err != nil {
			t.Error(err)
		}
	})
}

// TestIdleAndSlow: a client may be idle for long; a command that has begun to come must come.
func TestIdleAndSlow(t *testing.T) {
	inBubble(t, newSpy(), nil, func(t *testing.T, srv *Server, dial func() *wireConn) {
		w := dial()
		time.Sleep(24 * time.Hour)
		if got := w.ask("PING"); got != "+PONG\r\n" {
			t.Errorf("after a day: %q", got)
		}
		began := time.Now()
		if _, err := w.c.Write([]byte("*2\r\n$3\r\nGET\r\n")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(arriveWithin - time.Second)
		if _, err := w.c.Write([]byte("$1\r\n")); err != nil {
			t.Fatal(err)
		}
		if got := w.receive(); got != "" || time.Since(began) != arriveWithin {
			t.Errorf("got %q after %v", got, time.Since(began))
		}
		w = dial()
		time.Sleep(2 * arriveWithin)
		if _, err := w.c.Write([]byte("*1\r\n")); err != nil { // its time begins with its first byte
			t.Fatal(err)
		}
		time.Sleep(arriveWithin / 2)
		if _, err := w.c.Write([]byte("$4\r\nPING\r\n")); err != nil {
			t.Fatal(err)
		}
		if got := w.receive(); got != "+PONG\r\n" {
			t.Errorf("got %q", got)
		}
		time.Sleep(2 * arriveWithin)
		if got := w.ask("PING"); got != "+PONG\r\n" {
			t.Errorf("idle again: %q", got)
		}
		if _, err := w.c.Write([]byte("*0\r\n")); err != nil { // a command that is none
			t.Fatal(err)
		}
		time.Sleep(2 * arriveWithin)
		if _, err := w.c.Write([]byte("*1\r\n")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := w.c.Write([]byte("$4\r\nPING\r\n")); err != nil {
			t.Fatal(err)
		}
		if got := w.receive(); got != "+PONG\r\n" {
			t.Errorf("after an empty command: %q", got)
		}
		_ = srv.Close(time.Second)
	})
}

// TestClose: a server that closes ends idle connections at once, lets commands under way be answered, and cuts off those that take
// too long.
func TestClose(t *testing.T) {
	s := newSpy()
	release := make(chan struct{})
	s.read = func(r *api.ReadRequest) error {
		if r.Keys[0] == "redis/0/slow" {
			<-release
		}
		return nil
	}
	inBubble(t, s, nil, func(t *testing.T, srv *Server, dial func() *wireConn) {
		release = make(chan struct{})
		idle, slow := dial(), dial()
		slow.send("GET", "slow")
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- srv.Close(time.Minute) }()
		synctest.Wait()
		if got := idle.receive(); got != "" {
			t.Errorf("the idle connection got %q", got)
		}
		mine, theirs := net.Pipe()
		srv.take(theirs)
		if got := newWireConn(t, mine).receive(); !strings.HasPrefix(got, "-ERR max") {
			t.Errorf("a new connection got %q", got)
		}
		close(release)
		if got := slow.receive(); got != "$-1\r\n" {
			t.Errorf("the command under way got %q", got)
		}
		if got := slow.receive(); got != "" {
			t.Errorf("then %q", got)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// TestCloseCutsOff: a command that does not end in time is ended.
func TestCloseCutsOff(t *testing.T) {
	stuck := &waiting{spy: newSpy()}
	synctest.Test(t, func(t *testing.T) {
		srv := New(front.New(front.Config{Store: stuck}), Config{})
		mine, theirs := net.Pipe()
		srv.take(theirs)
		w := newWireConn(t, mine)
		w.send("GET", "k")
		synctest.Wait()
		began := time.Now()
		if err := srv.Close(time.Second); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		_ = mine.Close()
	})
}

// waiting is a store that answers nothing until the request ends.
type waiting struct{ *spy }

func (s *waiting) Read(ctx context.Context, _ *api.ReadRequest, _ *api.ReadResult) error {
	<-ctx.Done()
	return ctx.Err()
}

func (s *waiting) Do(ctx context.Context, _ *api.Txn) (*api.TxnResult, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestTimeout: a command ends with its time; a write that has not been answered by then is one whose outcome is unknown.
func TestTimeout(t *testing.T) {
	stuck := &waiting{spy: newSpy()}
	synctest.Test(t, func(t *testing.T) {
		srv := New(front.New(front.Config{Store: stuck}), Config{})
		mine, theirs := net.Pipe()
		srv.take(theirs)
		w := newWireConn(t, mine)
		_ = mine.SetDeadline(time.Time{})
		for command, want := range map[string]string{"GET k": "-TRYAGAIN ", "SET k v": "-AMBIGUOUS outcome unknown: ", "EXPIRE k 10": "-TRYAGAIN "} {
			began := time.Now()
			if got := w.ask(strings.Fields(command)...); !strings.HasPrefix(got, want) || time.Since(began) != api.DefaultTimeout {
				t.Errorf("%s: %q after %v", command, got, time.Since(began))
			}
		}
		_ = srv.Close(time.Second)
		_ = mine.Close()
	})
}

// TestPanic: a fault of the program ends the connection whose command met it, and no other.
func TestPanic(t *testing.T) {
	s := newSpy()
	s.read = func(r *api.ReadRequest) error {
		if r.Keys[0] == "redis/0/bad" {
			panic("bad")
		}
		return nil
	}
	srv := over(t, s)
	other, w := dialWire(t, srv.address), dialWire(t, srv.address)
	other.ask("SET", "a", "1")
	if got := w.ask("GET", "bad"); !strings.HasPrefix(got, "-AMBIGUOUS") {
		t.Errorf("got %q", got)
	}
	if got := w.receive(); got != "" {
		t.Errorf("then %q", got)
	}
	if got := other.ask("GET", "a"); got != "$1\r\n1\r\n" {
		t.Errorf("another connection: %q", got)
	}
}

// TestRefusedForLoad: a command that is refused for load says that it can be sent again, and the next one is carried out.
func TestRefusedForLoad(t *testing.T) {
	busy := true
	s := newSpy()
	inBubble(t, s, func(f *front.Config, _ *Config) {
		f.Room = admission.New(admission.Config{Calm: 1, Busy: func() bool { return busy }})
		f.Classify = func(api.Key, bool, api.Consistency, int) (admission.Class, *api.Error) {
			if busy {
				return 0, &api.Error{Code: api.CodeUnavailable, Hint: "busy"}
			}
			return admission.Request, nil
		}
	}, func(t *testing.T, srv *Server, dial func() *wireConn) {
		w := dial()
		for _, command := range []string{"GET k", "SET k v"} {
			if got := w.ask(strings.Fields(command)...); !strings.HasPrefix(got, "-TRYAGAIN not carried out: ") {
				t.Errorf("%s: %q", command, got)
			}
		}
		for _, commands := range [][]string{{"GET k", "GET l"}, {"SET k v", "SET l v"}} {
			var b []byte
			for _, c := range commands {
				b = append(b, encode(strings.Fields(c)...)...)
			}
			if _, err := w.c.Write(b); err != nil {
				t.Fatal(err)
			}
			for range commands {
				if got := w.receive(); !strings.HasPrefix(got, "-TRYAGAIN not carried out: ") {
					t.Errorf("%q: %q", commands, got)
				}
			}
		}
		if srv.apart.reads(0) || srv.apart.writes(0) {
			t.Error("load has commands carried out one by one, which is more load")
		}
		busy = false
		if got := w.ask("GET", "k"); got != "$-1\r\n" || s.txns.Load() != 0 {
			t.Errorf("got %q after %d transactions", got, s.txns.Load())
		}
		_ = srv.Close(time.Second)
	})
}

// TestProtocolErrors: what is not the protocol is answered after the commands before it, and ends the connection.
func TestProtocolErrors(t *testing.T) {
	srv := over(t, newSpy())
	w := dialWire(t, srv.address)
	if _, err := w.c.Write([]byte("*1\r\n$4\r\nPING\r\nGET k\r\n*1\r\n$4\r\nPING\r\n")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"+PONG\r\n", "-ERR Protocol error: expected '*', got 'G'\r\n", ""} {
		if got := w.receive(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestLargeValues: values up to the limit are kept as they are, a longer one is refused, and the connection goes on.
func TestLargeValues(t *testing.T) {
	srv := over(t, newSpy())
	w := dialWire(t, srv.address)
	value := strings.Repeat("\x00\r\nv", api.MaxValueBytes/4)
	if got := w.ask("SET", "k", value); got != "+OK\r\n" {
		t.Fatalf("got %q", got)
	}
	if got := w.ask("MGET", "k", "k"); got != "*2\r\n"+strings.Repeat("$1048576\r\n"+value+"\r\n", 2) {
		t.Errorf("got %d bytes", len(got))
	}
	if got := w.ask("SET", "k", value+"x"); got != "-ERR argument of 1048577 bytes is over the limit of 1048576 bytes\r\n" {
		t.Errorf("got %q", got)
	}
	if got := w.ask("APPEND", "k", "x"); !strings.HasPrefix(got, "-ERR value of 1048577 bytes is over the limit") {
		t.Errorf("got %q", got)
	}
	w.expect([]string{"MULTI", "APPEND k x", "SET l 1", "EXEC", "STRLEN k", "GET l"},
		"+OK", "+QUEUED", "+QUEUED", "*2 -ERR value of 1048577 bytes is over the limit of 1048576 bytes +OK", ":1048576", "$1 1")
	if used := srv.memory.used.Load(); used != 0 {
		t.Errorf("%d bytes are in use", used)
	}
}

// TestQueueIsBounded: what a client queues in a transaction is bounded, and given back.
func TestQueueIsBounded(t *testing.T) {
	srv := over(t, newSpy(), func(_ *front.Config, c *Config) { c.MaxBytes = 3 << 20 })
	value := strings.Repeat("v", 512<<10)
	w := dialWire(t, srv.address)
	w.ask("MULTI")
	refused := false
	for range 8 {
		got := w.ask("SET", "k", value)
		refused = refused || strings.HasPrefix(got, "-TRYAGAIN ")
	}
	if got := w.ask("EXEC"); !refused || got != "-"+string(errAborted)+"\r\n" {
		t.Errorf("refused: %v; %q", refused, got)
	}
	w.ask("MULTI")
	w.ask("SET", "k", value)
	_ = w.c.Close()
	for srv.open() > 0 {
		time.Sleep(time.Millisecond)
	}
	if used := srv.memory.used.Load(); used != 0 {
		t.Errorf("%d bytes are in use", used)
	}
}

// TestNothingIsKeptWhileIdle: a connection that waits keeps nothing of the commands that it has carried out, and room for a few
// arguments.
func TestNothingIsKeptWhileIdle(t *testing.T) {
	inBubble(t, newSpy(), nil, func(t *testing.T, srv *Server, dial func() *wireConn) {
		w := dial()
		pairs := append([]string{"MSET"}, slicesOf("x", 2000)...)
		for _, commands := range [][][]string{{pairs}, {{"PING"}, append([]string{"MGET"}, slicesOf("x", 900)...)}, {{"SET", "a", "1"}, {"SET", "b", "2"}}, {{"EXPIRE", "a", "9"}}, {{"PING"}}} {
			var b []byte
			for _, c := range commands {
				b = append(b, encode(c...)...)
			}
			if _, err := w.c.Write(b); err != nil {
				t.Fatal(err)
			}
			for range commands {
				if got := w.receive(); got == "" || got[0] == '-' {
					t.Errorf("got %q", got)
				}
			}
			synctest.Wait()
		}
		for c := range srv.conns {
			for i, x := range c.batch[:cap(c.batch)] {
				if cap(x.args) > keptArgs {
					t.Errorf("place %d of the batch has room for %d arguments", i, cap(x.args))
				}
				for _, a := range x.args[:cap(x.args)] {
					if a != nil {
						t.Errorf("place %d of the batch has an argument", i)
					}
				}
			}
			for _, x := range c.run[:cap(c.run)] {
				if x.action.write != nil || x.action.keys != nil {
					t.Error("a command is kept")
				}
			}
			if cap(c.in.spans) > keptSpans || c.request.Keys != nil {
				t.Errorf("there is room for %d spans, and %d keys", cap(c.in.spans), len(c.request.Keys))
			}
		}
		_ = srv.Close(time.Second)
	})
}

// TestSmallThingsAreCounted: what is queued and watched is counted with what it takes beside its bytes, and given back.
func TestSmallThingsAreCounted(t *testing.T) {
	srv := over(t, newSpy(), func(_ *front.Config, c *Config) { c.MaxBytes = 128 << 10 })
	w := dialWire(t, srv.address)
	empty := slicesOf("", 1000)
	w.ask("MULTI")
	if got := w.ask(append([]string{"EXISTS"}, empty...)...); got != "+QUEUED\r\n" {
		t.Errorf("got %q", got)
	}
	if got := w.ask(append([]string{"EXISTS"}, empty...)...); !strings.HasPrefix(got, "-TRYAGAIN ") {
		t.Errorf("one more: got %q", got)
	}
	w.ask("DISCARD")
	for _, end := range []string{"UNWATCH", "RESET"} {
		if got := w.ask(append([]string{"WATCH"}, empty[:400]...)...); got != "+OK\r\n" {
			t.Errorf("got %q", got)
		}
		if got := w.ask(append([]string{"WATCH"}, empty[:400]...)...); !strings.HasPrefix(got, "-TRYAGAIN ") {
			t.Errorf("more are watched: got %q", got)
		}
		w.ask(end)
		if used := srv.memory.used.Load(); used != 0 {
			t.Errorf("%d bytes are in use after %s", used, end)
		}
	}
}

// TestAnswersAreBounded: a transaction whose answers a node would have to keep is refused before it writes.
func TestAnswersAreBounded(t *testing.T) {
	s := newSpy()
	w := dialWire(t, over(t, s).address)
	w.ask("SET", "k", strings.Repeat("v", api.MaxValueBytes))
	for _, c := range []string{"MULTI", "PERSIST k", "SETNX other 1"} {
		w.pipeline(c)
	}
	for range 17 {
		w.pipeline("GET k")
	}
	if got := w.ask("EXEC"); !strings.HasPrefix(got, "-ERR the answers of the transaction are over the limit of ") {
		t.Errorf("got %.100q", got)
	}
	w.expect([]string{"GET other"}, "$-1")
}

// failing is a listener that fails before each connection.
type failing struct {
	net.Listener
	conns chan net.Conn
	done  chan struct{}
	fail  bool
}

func (l *failing) Accept() (net.Conn, error) {
	if l.fail = !l.fail; l.fail {
		return nil, errors.New("too many open files")
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *failing) Close() error { close(l.done); return nil }

// TestAcceptsAgain: a server that could not accept a connection accepts the next ones.
func TestAcceptsAgain(t *testing.T) {
	inBubble(t, newSpy(), nil, func(t *testing.T, srv *Server, _ func() *wireConn) {
		l := &failing{conns: make(chan net.Conn), done: make(chan struct{})}
		srv.Serve(l)
		for range 2 {
			mine, theirs := net.Pipe()
			l.conns <- theirs
			w := newWireConn(t, mine)
			if got := w.ask("PING"); got != "+PONG\r\n" {
				t.Errorf("got %q", got)
			}
			_ = mine.Close()
		}
		if err := srv.Close(time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// endless is a Lister with keys without end.
type endless struct {
	*spy
	page  *api.ListResult
	pages int
}

func (l *endless) List(context.Context, *api.ListRequest) (*api.ListResult, error) {
	l.pages++
	return l.page, nil
}

// TestKeysAreBounded: what KEYS collects is bounded, however short the names are.
func TestKeysAreBounded(t *testing.T) {
	l := &endless{spy: newSpy(), page: &api.ListResult{More: true}}
	for range api.MaxListLimit {
		l.page.Entries = append(l.page.Entries, api.Entry{Key: "redis/0/k", Exists: true})
	}
	w := dialWire(t, serve(t, func(f *front.Config, _ *Config) { f.Store, f.Lister = l, l }).address)
	if got := w.ask("KEYS", "*"); !strings.HasPrefix(got, "-ERR ") || !strings.HasSuffix(got, "use SCAN\r\n") || l.pages > 1000 {
		t.Errorf("got %.100q after %d pages", got, l.pages)
	}
}
