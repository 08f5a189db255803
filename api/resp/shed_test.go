package resp

import (
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
)

// TestOverloadedOwner: once an owner has refused a write of a pipeline for load, the writes after it are refused without asking it, and
// reads are not. Writes that failed together so are carried out one by one for a second alone.
func TestOverloadedOwner(t *testing.T) {
	s := newSpy()
	inBubble(t, s, nil, func(t *testing.T, srv *Server, dial func() *wireConn) {
		w := dial()
		s.do = func(*api.Txn) error {
			return &api.Error{Code: api.CodeUnavailable, RetryAfter: 100 * time.Millisecond, Hint: "overloaded"}
		}
		refused := "-TRYAGAIN not carried out: overloaded"
		w.expect([]string{"SETNX a 1", "SETNX b 1", "GET a", "SET c 1", "INCR d", "MULTI", "SET e 1", "EXEC", "EXPIRE a 9"},
			refused, refused, "$-1", refused, refused, "+OK", "+QUEUED", refused, ":0")
		if n := s.txns.Load(); n != 1 {
			t.Errorf("%d transactions of one pipeline", n)
		}
		w.expect([]string{"SET a 1", "SET b 1"}, refused, refused)
		s.do = nil
		for _, c := range []struct {
			wait time.Duration
			txns int64
		}{{0, 2}, {refusedFor, 1}} {
			time.Sleep(c.wait)
			s.txns.Store(0)
			w.expect([]string{"SET a 1", "SET b 1"}, "+OK", "+OK")
			if n := s.txns.Load(); n != c.txns {
				t.Errorf("%v later: %d transactions", c.wait, n)
			}
		}
		s.do = func(x *api.Txn) error { // a refusal because of one key is no load
			if x.Then[0].Key == "redis/0/held" {
				return &api.Error{Code: api.CodeUnavailable, RetryAfter: time.Second, Key: "redis/0/held"}
			}
			return nil
		}
		if got := w.pipeline("SET held 1 NX", "SET a 1 NX"); !strings.HasPrefix(got[0], "-TRYAGAIN ") || got[1] != "$-1" {
			t.Errorf("got %q", got)
		}
		_ = srv.Close(time.Second)
	})
}

// TestOneOfAPipelineWaits: if the node lets no request in, the first one of a pipeline waits for that, and the others are refused with it.
func TestOneOfAPipelineWaits(t *testing.T) {
	room := admission.New(admission.Config{SlowAfter: time.Hour, Shares: admission.Shares{admission.Request: 1}})
	inBubble(t, newSpy(), func(f *front.Config, _ *Config) { f.Room = room }, func(t *testing.T, srv *Server, dial func() *wireConn) {
		place, refusal := room.Enter(admission.Ask{Class: admission.Request})
		if refusal != nil {
			t.Fatal(refusal)
		}
		w := dial()
		began := time.Now()
		for i, got := range w.pipeline("SETNX a 1", "SETNX b 1", "GET a", "PING", "GET b", "SET c 1") {
			if want := "-TRYAGAIN "; i != 3 && !strings.HasPrefix(got, want) {
				t.Errorf("command %d: %q", i, got)
			}
		}
		if took := time.Since(began); took != admission.MaxWait {
			t.Errorf("the answers took %v", took)
		}
		place.Leave()
		w.expect([]string{"GET a", "SETNX a 1"}, "$-1", ":1")
		_ = srv.Close(time.Second)
	})
}

// TestCursorOfAnotherNode: a cursor of one node is refused by another one, which says what to do: it neither begins again nor skips keys.
func TestCursorOfAnotherNode(t *testing.T) {
	s := newSpy()
	here, there := dialWire(t, over(t, s).address), dialWire(t, over(t, s).address)
	here.pipeline("MSET a 1 b 1 c 1")
	cursor := strings.Fields(here.pipeline("SCAN 0 COUNT 1")[0])[2]
	for range 3 {
		there.pipeline("SCAN 0 COUNT 1", "SCAN 0 COUNT 2")
	}
	if got := there.ask("SCAN", cursor); got != "-ERR invalid cursor: this node does not know it, or not any more; begin again with 0\r\n" {
		t.Errorf("another node: %q", got)
	}
	here.expect([]string{"SCAN " + cursor}, "*2 $1 0 *2 $1 b $1 c")
}

// TestWatchedAbsence: a watched key that is absent, is made and is absent again has changed: it was deleted, or has ended.
func TestWatchedAbsence(t *testing.T) {
	s := newSpy()
	inBubble(t, s, nil, func(t *testing.T, srv *Server, dial func() *wireConn) {
		w, other := dial(), dial()
		for _, between := range [][]string{{"SET k v", "DEL k"}, {"SET k v PX 100"}, {"MULTI", "SET k v", "DEL k", "EXEC"}} {
			for _, command := range []string{"GET k", "SET l 1", "EXPIRE l 1000"} { // a read, a transaction, and one that reads before
				w.expect([]string{"WATCH k"}, "+OK")
				other.pipeline(between...)
				time.Sleep(time.Second)
				other.expect([]string{"EXISTS k"}, ":0")
				w.expect([]string{"MULTI", command, "EXEC"}, "+OK", "+QUEUED", "*-1")
			}
		}
		w.expect([]string{"WATCH k", "MULTI", "SET k 1", "EXEC"}, "+OK", "+OK", "+QUEUED", "*1 +OK")
		_ = srv.Close(time.Second)
	})
}
