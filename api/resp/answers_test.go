package resp

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// bigAnswers runs a test with a server that has room for so many MiB of answers, and a key "k" of 1 MiB. dial
// returns a connection of a principal.
func bigAnswers(t *testing.T, room int64, test func(srv *Server, s *spy, dial func(principal string) *wireConn)) {
	t.Helper()
	s := newSpy()
	access := &tokens{of: map[string]string{"a": "a", "b": "b", "c": "c"}}
	inBubble(t, s, func(f *front.Config, c *Config) { f.Access, c.MaxAnswerBytes = access, room<<20 }, func(t *testing.T, srv *Server, dial func() *wireConn) {
		as := func(principal string) *wireConn {
			w := dial()
			if got := w.ask("AUTH", principal); got != "+OK\r\n" {
				t.Fatalf("AUTH: %q", got)
			}
			return w
		}
		if got := as("a").ask("SET", "k", strings.Repeat("v", api.MaxValueBytes)); got != "+OK\r\n" {
			t.Fatalf("SET: %q", got)
		}
		test(srv, s, as)
		if err := srv.Close(time.Second); err != nil {
			t.Error(err)
		}
		if used := srv.answers.used.Load() + srv.memory.used.Load(); used != 0 {
			t.Errorf("%d bytes are in use in the end", used)
		}
	})
}

// sendOnly sends a command whose answer is not read.
func (w *wireConn) sendOnly(command ...string) {
	w.t.Helper()
	w.send(command...)
	synctest.Wait()
}

// whole reports whether an answer is the value of "k".
func whole(answer string) bool { return strings.HasPrefix(answer, "$1048576\r\nvv") }

// TestSlowReadersOfAPrincipal: answers that the clients of one principal do not accept keep no other principal out. For one more, the
// connection of its slowest client is closed, but not before a second.
func TestSlowReadersOfAPrincipal(t *testing.T) {
	bigAnswers(t, 3, func(srv *Server, _ *spy, dial func(string) *wireConn) {
		slow, next := dial("a"), dial("a")
		slow.sendOnly("GET", "k")
		if got := next.ask("GET", "k"); !strings.HasPrefix(got, "-TRYAGAIN ") {
			t.Errorf("over the principal's part: %.50q", got)
		}
		if got := dial("b").ask("GET", "k"); !whole(got) {
			t.Errorf("another principal: %.50q", got)
		}
		if got := next.ask("STRLEN", "k"); got != ":1048576\r\n" {
			t.Errorf("a short answer: %.50q", got)
		}
		time.Sleep(slowAfter)
		if got := next.ask("GET", "k"); !whole(got) {
			t.Errorf("after a second: %.50q", got)
		}
		if got := slow.receive(); whole(got) {
			t.Error("the slow client was not cut off")
		}
	})
}

// TestSlowReadersOfANode: what all slow clients have together is bounded. For the answer of one more principal the connection is closed
// that is slowest, of principals that have as much.
func TestSlowReadersOfANode(t *testing.T) {
	bigAnswers(t, 4, func(srv *Server, _ *spy, dial func(string) *wireConn) {
		first, second, third := dial("a"), dial("a"), dial("b")
		for _, w := range []*wireConn{first, second, third} {
			w.sendOnly("GET", "k")
			time.Sleep(time.Millisecond)
		}
		if used := srv.answers.used.Load(); used != 3<<20 {
			t.Errorf("%d bytes are in use", used)
		}
		w := dial("c")
		if got := w.ask("GET", "k"); !strings.HasPrefix(got, "-TRYAGAIN ") {
			t.Errorf("got %.50q", got)
		}
		time.Sleep(slowAfter)
		if got := w.ask("GET", "k"); !whole(got) {
			t.Errorf("after a second: %.50q", got)
		}
		if got := first.receive(); whole(got) {
			t.Error("the slowest client was not cut off")
		}
		if !whole(second.receive()) || !whole(third.receive()) {
			t.Error("another client was cut off")
		}
	})
}

// TestAnswersWithoutRoom: a write whose answer finds no memory says that it took effect; one that reads before it writes is not carried
// out.
func TestAnswersWithoutRoom(t *testing.T) {
	bigAnswers(t, 3, func(_ *Server, _ *spy, dial func(string) *wireConn) {
		slow := dial("a")
		slow.sendOnly("GET", "k")
		w := dial("a")
		lost := string("-" + errLostAnswer)
		w.expect([]string{"MULTI", "SET a 1", "GET k", "EXEC", "GET a"}, "+OK", "+QUEUED", "+QUEUED", lost, "$1 1")
		w.expect([]string{"SET l 1", "GETSET k x", "STRLEN k"}, lost, lost, ":1") // one transaction
		w.ask("SET", "k", strings.Repeat("v", api.MaxValueBytes))
		if got := w.pipeline("MULTI", "SETNX b 1", "GET k", "EXEC"); !strings.HasPrefix(got[3], "-TRYAGAIN ") {
			t.Errorf("got %.50q", got[3])
		}
		w.expect([]string{"EXISTS a b l"}, ":2")
		for _, command := range []string{"GETDEL k", "SET k v GET"} {
			w.ask("SET", "k", strings.Repeat("v", api.MaxValueBytes))
			w.expect([]string{command}, lost)
		}
		if !whole(slow.receive()) {
			t.Error("the slow client was cut off")
		}
	})
}

// TestMemoryIsShared: a principal may take as much as it leaves free, also if a connection becomes another's.
func TestMemoryIsShared(t *testing.T) {
	m := &memory{limit: 90}
	a, again, b := account{memory: m}, account{memory: m}, account{memory: m}
	a.become("a")
	again.become("a")
	b.become("b")
	if !a.take(30) || !again.take(15) || again.take(1) {
		t.Errorf("a has %d of %d", m.of["a"], m.limit)
	}
	if !b.take(22) || b.take(1) {
		t.Errorf("b has %d of %d", m.of["b"], m.limit)
	}
	again.become("b")
	if m.of["a"] != 30 || m.of["b"] != 37 || !a.take(-30) || !b.take(8) {
		t.Errorf("they have %v", m.of)
	}
	again.empty()
	b.give(30)
	if m.used.Load() != 0 || len(m.of) != 0 {
		t.Errorf("%d is in use, by %v", m.used.Load(), m.of)
	}
}
