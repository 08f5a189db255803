package resp

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// spy is a store that counts what it is asked, and fails as its functions say.
type spy struct {
	*storetest.Memory
	reads, txns atomic.Int64
	read        func(r *api.ReadRequest) error
	do          func(t *api.Txn) error
	after       func(t *api.Txn, res *api.TxnResult) error
}

func (s *spy) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	s.reads.Add(1)
	if s.read != nil {
		if err := s.read(r); err != nil {
			return err
		}
	}
	return s.Memory.Read(ctx, r, out)
}

func (s *spy) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	s.txns.Add(1)
	if s.do != nil {
		if err := s.do(t); err != nil {
			return nil, err
		}
	}
	res, err := s.Memory.Do(ctx, t)
	if err == nil && s.after != nil {
		err = s.after(t, res)
	}
	return res, err
}

func newSpy() *spy { return &spy{Memory: storetest.NewMemory()} }

// over serves the store.
func over(t *testing.T, s *spy, change ...func(f *front.Config, c *Config)) *testServer {
	return serve(t, func(f *front.Config, c *Config) {
		f.Store, f.Lister = s, s
		for _, change := range change {
			change(f, c)
		}
	})
}

// pipeline sends commands at once and returns their answers.
func (w *wireConn) pipeline(commands ...string) (answers []string) {
	w.t.Helper()
	var b []byte
	for _, c := range commands {
		b = append(b, encode(strings.Fields(c)...)...)
	}
	if _, err := w.c.Write(b); err != nil {
		w.t.Fatal(err)
	}
	for range commands {
		answers = append(answers, strings.TrimRight(strings.ReplaceAll(w.receive(), "\r\n", " "), " "))
	}
	return answers
}

func (w *wireConn) expect(commands []string, want ...string) {
	w.t.Helper()
	got := w.pipeline(commands...)
	for i := range got {
		if got[i] != want[i] {
			w.t.Errorf("%s: got %q, want %q", commands[i], got[i], want[i])
		}
	}
}

// TestRuns: the reads that come together are one read of one instant, the writes without conditions one transaction, and all are
// answered in order.
func TestRuns(t *testing.T) {
	s := newSpy()
	s.read = func(r *api.ReadRequest) error {
		if len(r.Keys) > 1 && !r.Snapshot {
			t.Error("a read of many keys is of many instants")
		}
		return nil
	}
	w := dialWire(t, over(t, s).address)
	w.expect([]string{
		"SET a 1", "MSET b 2 c 3", "INCR a", "APPEND b x", "DEL c nope", "GETSET d 1", "SETEX e 10 v", // one transaction
		"GET a", "MGET b c", "EXISTS a a", "STRLEN b", "TTL d", "TYPE c", // one read
		"SETNX a 9",       // one of its own
		"SET f 1", "PING", // one, since what follows is no write
		"GET f",
	}, "+OK", "+OK", ":2", ":2", ":1", "$-1", "+OK",
		"$1 2", "*2 $2 2x $-1", ":2", ":2", ":-1", "+none",
		":0", "+OK", "+PONG", "$1 1")
	if r, x := s.reads.Load(), s.txns.Load(); r != 2 || x != 3 {
		t.Errorf("%d reads and %d transactions", r, x)
	}
	var gets, want []string
	for i := range 300 {
		gets, want = append(gets, fmt.Sprintf("GET %d", i)), append(want, "$-1")
	}
	s.reads.Store(0)
	w.expect(gets, want...)
	if r := s.reads.Load(); r > 30 { // as many as there are pieces in which the commands come
		t.Errorf("%d reads of 300 commands", r)
	}
}

// TestOneFailsAlone: a command that is refused does not take those with it that came with it.
func TestOneFailsAlone(t *testing.T) {
	s := newSpy()
	a := &tokens{denied: "redis/0/denied"}
	w := dialWire(t, over(t, s, func(f *front.Config, _ *Config) { f.Access = a }).address)
	noPerm := string("-" + errNoPerm)
	w.expect([]string{"SET a 1", "SET denied 1", "SET b 2", "SET t abc", "INCR t", "INCR a", "SET a 1 EX 0", "SET", "SET c 3"},
		"+OK", noPerm, "+OK", "+OK", "-"+string(errNotInteger), ":2", "-ERR invalid expire time in 'set' command", "-"+string(wrongArity("set")), "+OK")
	long := strings.Repeat("k", api.MaxKeyBytes)
	w.expect([]string{"GET a", "GET denied", "MGET a denied", "GET " + long, "GET b", "TTL a x", "GET t"},
		"$1 2", noPerm, noPerm, "-ERR key of 4096 bytes is over the limit of 4088 bytes", "$1 2", "-"+string(wrongArity("ttl")), "$3 abc")
	w.expect([]string{"MULTI", "SET a 5", "SET denied 1", "EXEC", "GET a"}, "+OK", "+QUEUED", "+QUEUED", noPerm, "$1 2")
}

// TestOutcomeUnknown: a write whose outcome is unknown is answered with an error that says so, each of those that shared a
// transaction; one that was certainly not carried out is answered with one to try again.
func TestOutcomeUnknown(t *testing.T) {
	s := newSpy()
	srv := over(t, s)
	w := dialWire(t, srv.address)
	for _, c := range []struct {
		err     error
		unknown bool
	}{
		{&api.Error{Code: api.CodeAmbiguous, Hint: "no answer"}, true},
		{&api.Error{Code: api.CodeInternal}, true},
		{&api.Error{Code: api.CodeUnavailable, Unknown: true}, true},
		{&api.Error{Code: api.CodeConflict, Unknown: true, Hint: "the request id has expired"}, true},
		{context.DeadlineExceeded, true},
		{&api.Error{Code: api.CodeUnavailable, Hint: "no leader"}, false},
		{&api.Error{Code: api.CodeLimited, Hint: "slow down"}, false},
		{api.CodeNotLeader, false},
	} {
		s.do = func(*api.Txn) error { return c.err }
		want := "-TRYAGAIN "
		if c.unknown {
			want = "-AMBIGUOUS outcome unknown: "
		}
		for _, commands := range [][]string{{"SET a 1"}, {"SET a 1", "SET b 2"}, {"SET a 1 NX"}, {"MULTI", "SET a 1", "EXEC"}, {"MULTI", "SETNX a 1", "EXEC"}} {
			s.txns.Store(0)
			got := w.pipeline(commands...)
			if n := s.txns.Load(); c.unknown && n > int64(len(commands)) {
				t.Errorf("%v: %q: %d transactions", c.err, commands, n)
			}
			if last := got[len(got)-1]; !strings.HasPrefix(last, want) {
				t.Errorf("%v: %q: got %q", c.err, commands, last)
			}
			srv.apart = apart{}
		}
	}
	s.do = nil
	s.read = func(*api.ReadRequest) error { return context.DeadlineExceeded }
	for _, commands := range []string{"EXPIRE a 10", "GET a", "GETEX a PERSIST"} {
		if got := w.pipeline(commands)[0]; strings.Contains(got, "outcome unknown") || got[0] != '-' {
			t.Errorf("%s, whose read fails: %q", commands, got)
		}
	}
}

// TestApart: when writes that came together have failed for one that cannot be carried out, those that come next are carried out one
// by one for a while, and so are writes of several groups.
func TestApart(t *testing.T) {
	s := newSpy()
	srv := over(t, s)
	w := dialWire(t, srv.address)
	s.do = func(x *api.Txn) error {
		for _, o := range x.Then {
			if o.Key == "redis/0/lost" {
				return &api.Error{Code: api.CodeUnavailable, Hint: "lost"}
			}
		}
		return nil
	}
	got := w.pipeline("SET a 1", "SET lost 1", "SET b 1")
	for range 30 { // the first commands may have come before the others
		got = w.pipeline("SET a 1", "SET lost 1", "SET b 1")
	}
	if got[0] != "+OK" || !strings.HasPrefix(got[1], "-TRYAGAIN") || got[2] != "+OK" {
		t.Errorf("got %q", got)
	}
	srv.apart = apart{}
	s.txns.Store(0)
	s.do, s.after = nil, func(_ *api.Txn, res *api.TxnResult) error { res.Group = ""; return nil }
	for range 30 {
		w.pipeline("SET a 1", "SET b 1", "SET c 1")
	}
	if n := s.txns.Swap(0); n < 60 {
		t.Errorf("%d transactions", n)
	}
	w.expect([]string{"SELECT 1", "SET a 1", "GET a"}, "+OK", "+OK", "$1 1")
	if srv.apart.writes(1) || !srv.apart.writes(0) || srv.apart.reads(0) {
		t.Error("another database is apart, or reads are")
	}
}

// TestCounts: what many connections add to one key at a time is all there: blind, in transactions, and with WATCH.
func TestCounts(t *testing.T) {
	s := over(t, newSpy())
	const clients, each = 4, 25
	var all sync.WaitGroup
	for range clients {
		w := dialWire(t, s.address)
		all.Go(func() {
			for i := 0; i < each; {
				switch got := w.pipeline("INCR n", "MULTI", "INCR n", "EXPIRE n 100", "EXEC"); got[4] {
				case "*2 :" + strings.TrimPrefix(strings.Fields(got[4])[1], ":") + " :1":
				default:
					t.Errorf("got %q", got)
				}
				w.ask("WATCH", "m")
				m := strings.TrimPrefix(w.pipeline("GET m")[0], "$-1")
				v := 0
				if f := strings.Fields(m); len(f) == 2 {
					_, _ = fmt.Sscan(f[1], &v)
				}
				if w.pipeline("MULTI", fmt.Sprintf("SET m %d", v+1), "EXEC")[2] == "*1 +OK" {
					i++
				}
				w.pipeline("PERSIST n")
			}
		})
	}
	all.Wait()
	w := dialWire(t, s.address)
	if m := w.pipeline("GET m")[0]; m != fmt.Sprintf("$3 %d", clients*each) {
		t.Errorf("m is %s", m)
	}
}

// TestCountAnywhere: the same values count as integers in a transaction that reads before as elsewhere.
func TestCountAnywhere(t *testing.T) {
	w := dialWire(t, over(t, newSpy()).address)
	w.expect([]string{"SET n 007", "INCR n", "SET n 007", "MULTI", "INCR n", "EXPIRE n 0", "EXEC"}, "+OK", ":8", "+OK", "+OK", "+QUEUED", "+QUEUED", "*2 :8 :1")
}

// TestBlindCount: adding needs no read, and is once only.
func TestBlindCount(t *testing.T) {
	s := newSpy()
	seen := map[api.RequestID]bool{}
	s.do = func(x *api.Txn) error {
		if x.ID.IsZero() || seen[x.ID] {
			t.Errorf("id %+v", x.ID)
		}
		seen[x.ID] = true
		return nil
	}
	w := dialWire(t, over(t, s).address)
	for range 3 {
		w.pipeline("INCR n", "APPEND a x", "GETDEL a", "MULTI", "INCR n", "GET n", "EXEC")
	}
	if n := s.reads.Load(); n != 0 {
		t.Errorf("%d reads", n)
	}
}

// TestReadOnlyTransaction: a transaction that only reads is one read, also with WATCH.
func TestReadOnlyTransaction(t *testing.T) {
	s := newSpy()
	w := dialWire(t, over(t, s).address)
	w.expect([]string{"MULTI", "GET a", "MGET a b", "EXEC"}, "+OK", "+QUEUED", "+QUEUED", "*2 $-1 *2 $-1 $-1")
	w.expect([]string{"WATCH a", "MULTI", "GET b", "EXEC"}, "+OK", "+OK", "+QUEUED", "*1 $-1")
	if n := s.txns.Load(); n != 0 || s.reads.Load() != 3 {
		t.Errorf("%d transactions, %d reads", n, s.reads.Load())
	}
}

// TestStale: after READONLY reads may be stale, until READWRITE; what a transaction reads is not.
func TestStale(t *testing.T) {
	s := newSpy()
	var last api.ReadRequest
	s.read = func(r *api.ReadRequest) error { last = *r; return nil }
	w := dialWire(t, over(t, s).address)
	for _, c := range []struct {
		command string
		want    api.Consistency
	}{{"GET a", api.Linearizable}, {"READONLY", 0}, {"GET a", api.Stale}, {"MGET a b", api.Stale}, {"WATCH a", api.Linearizable}, {"EXPIRE a 10", api.Linearizable}, {"READWRITE", 0}, {"MGET a b", api.Linearizable}} {
		last = api.ReadRequest{}
		if got := w.pipeline(c.command)[0]; got[0] == '-' {
			t.Errorf("%s: %q", c.command, got)
		}
		if last.Consistency != c.want || last.Snapshot && c.want == api.Stale {
			t.Errorf("%s: %+v", c.command, last)
		}
	}
}

// TestElided: a value that is lost with a repeated answer is never an empty one.
func TestElided(t *testing.T) {
	s := newSpy()
	s.after = func(x *api.Txn, res *api.TxnResult) error {
		for i := range res.Entries {
			if i < len(x.Then) && x.Then[i].Kind == api.OpGet && res.Entries[i].Exists {
				res.Entries[i].Value, res.Entries[i].Elided = nil, true
			}
		}
		return nil
	}
	w := dialWire(t, over(t, s).address)
	w.ask("SET", "k", "v")
	lost := "-" + string(errUnknownValue)
	w.expect([]string{"SET k w GET", "GETSET k x", "GETDEL k"}, lost, lost, lost)
	w.expect([]string{"SET k v", "MULTI", "SET l 1", "GET k", "EXEC"}, "+OK", "+OK", "+QUEUED", "+QUEUED", "*2 +OK "+lost)
}

// TestTimes: absolute times count from now, and the end of a key is answered as a time.
func TestTimes(t *testing.T) {
	w := dialWire(t, over(t, newSpy()).address)
	at := time.Now().Add(1000 * time.Second).Unix()
	for _, c := range []string{"SET k v EXAT %d", "SET k v PXAT %d000", "EXPIREAT k %d", "PEXPIREAT k %d000", "GETEX k EXAT %d"} {
		if got := w.pipeline("SET k v", fmt.Sprintf(c, at))[1]; got[0] == '-' {
			t.Fatalf("%s: %q", c, got)
		}
		var end, ms, ttl int64
		_, _ = fmt.Sscanf(strings.Join(w.pipeline("EXPIRETIME k", "PEXPIRETIME k", "TTL k"), " "), ":%d :%d :%d", &end, &ms, &ttl)
		if got := w.pipeline("PEXPIREAT k -9223372036854775808", "EXISTS k"); got[0] != ":1" || got[1] != ":0" {
			t.Errorf("a time long ago: %q", got)
		}
		if end < at || end > at+100 || ms/1000 < at-1 || ttl > 1000 || ttl < 900 {
			t.Errorf("%s %d: ends at %d, %d, in %d s", c, at, end, ms, ttl)
		}
	}
}

// TestKeptDeadlineIsSeen: a command of a transaction that depends on the deadline that another one keeps depends on what was read: a
// deadline that has changed since is not overwritten.
func TestKeptDeadlineIsSeen(t *testing.T) {
	s := newSpy()
	changed := false
	s.do = func(x *api.Txn) error {
		if changed || len(x.If) == 0 {
			return nil
		}
		changed = true
		_, err := s.Memory.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "redis/0/k", Value: []byte("v"), TTL: time.Hour}}})
		return err
	}
	w := dialWire(t, over(t, s).address)
	w.expect([]string{"SET k v", "GET other"}, "+OK", "$-1")
	w.expect([]string{"MULTI", "SET k w KEEPTTL", "EXPIRE k 100 NX", "EXPIRE other 1", "PERSIST other", "SETNX other x", "EXEC"},
		"+OK", "+QUEUED", "+QUEUED", "+QUEUED", "+QUEUED", "+QUEUED", "*5 +OK :0 :0 :0 :1")
	if ttl := w.pipeline("TTL k")[0]; ttl == ":100" || ttl == ":-1" {
		t.Errorf("k lives for %s s", ttl)
	}
}

// TestTimesOfARepeatedTransaction: the answer to a transaction that a node has sent again has no times, and the client gets the time
// all the same.
func TestTimesOfARepeatedTransaction(t *testing.T) {
	s := newSpy()
	s.after = func(_ *api.Txn, res *api.TxnResult) error {
		res.Replayed = true
		for i := range res.Entries {
			res.Entries[i].TTL = 0
		}
		return nil
	}
	w := dialWire(t, over(t, s).address)
	if got := w.pipeline("SET k v EX 1000", "MULTI", "SET l 1", "TTL k", "EXEC"); got[4] == "*2 +OK :-1" || !strings.HasPrefix(got[4], "*2 +OK :") {
		t.Errorf("got %q", got)
	}
}
