package group

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// putTTL is a put of a key that lives for the ttl.
func putTTL(k api.Key, v string, ttl time.Duration) *words.Txn {
	t := put(k, v)
	t.Then[0].TTL = ttl
	return t
}

// has reports whether the node's machine has the key.
func (n *testNode) has(k api.Key) bool {
	n.log.t.Helper()
	es, _, err := n.machine.Read([]api.Key{k})
	if err != nil {
		n.log.t.Fatal(err)
	}
	return es[0].Exists
}

// lives returns how long from now on the node's machine has the key, at most for most. It looks every millisecond.
func (n *testNode) lives(k api.Key, most time.Duration) time.Duration {
	n.log.t.Helper()
	began := time.Now()
	for n.has(k) && time.Since(began) < most {
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// logged counts the commands of one type in the log.
func logged[C fsm.Command](l *testLog) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if c, _, err := fsm.Decode(e.command); err == nil {
			if _, ok := c.(C); ok {
				n++
			}
		}
	}
	return n
}

// eps is how far a clock's rate may be off.
const eps = words.ClockRateError

// TestKeyEndsAtItsDeadline shows, by true time, that a key ends neither before its time to live has passed by a leader's clock nor
// much later, whatever that clock does within its bounds. What a suspend or a jump adds to one of its two clocks, and time for which
// both stand still, can only make the end later.
func TestKeyEndsAtItsDeadline(t *testing.T) {
	const ttl = 10 * time.Second
	for name, c := range map[string]struct {
		rate    float64
		disturb func(*testClock)
		later   time.Duration
	}{
		"right":       {rate: 1},
		"fast":        {rate: 1 + eps},
		"slow":        {rate: 1 - eps},
		"suspended":   {rate: 1, disturb: func(c *testClock) { c.jump(time.Hour, 0) }},
		"raw jumps":   {rate: 1, disturb: func(c *testClock) { c.jump(0, time.Hour) }},
		"stands":      {rate: 1, disturb: func(c *testClock) { c.setRate(0); time.Sleep(2 * time.Second); c.setRate(1) }, later: 2 * time.Second},
		"set back":    {rate: 1, disturb: func(c *testClock) { c.jump(-3*time.Second, 0) }, later: 3 * time.Second},
		"set forward": {rate: 1 + eps, disturb: func(c *testClock) { c.jump(time.Minute, 0) }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, l *testLog) {
				a := l.node("a")
				a.clock.setRate(c.rate)
				began := time.Now()
				a.mustWrite(putTTL("k", "v", ttl))
				a.mustWrite(put("other", "v"))
				time.Sleep(3 * time.Second)
				if c.disturb != nil {
					c.disturb(a.clock)
				}
				a.lives("k", time.Minute)
				in := time.Duration(float64(ttl) / c.rate)
				within(t, "the life of the key", time.Since(began), in+c.later-time.Millisecond, in+c.later+expireEvery+5*time.Millisecond)
				if !a.has("other") {
					t.Error("a key without a deadline has ended")
				}
				if x := a.mustRead("k"); x.Exists || x.Version.IsZero() {
					t.Errorf("the key is read as %+v", x)
				}
			})
		})
	}
}

// TestAnswersSayWhatIsLeft shows that reads, lists and transactions say what their keys have left to live.
func TestAnswersSayWhatIsLeft(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, b := l.node("a"), l.node("b")
		res, _ := a.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{
			{Kind: api.OpPut, Key: "k", TTL: 10 * time.Second}, {Kind: api.OpPut, Key: "l"}, {Kind: api.OpGet, Key: "k"},
		}}})
		said := func(what string, want time.Duration, entries ...api.Entry) {
			t.Helper()
			for _, x := range entries {
				if got := x.TTL; x.Key == "k" && got != want || x.Key != "k" && got != 0 {
					t.Errorf("%s says that %v are left of %q, want %v", what, got, x.Key, want)
				}
			}
		}
		said("the put", 10*time.Second, res.Entries...)
		time.Sleep(4 * time.Second)
		read, err := words.Read(t.Context(), a.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"l", "k"}}})
		if err != nil || read.Deadline(0) != 0 || read.Deadline(1) == 0 {
			t.Fatal(read, err)
		}
		said("the read", 6*time.Second, read.Entries...)
		e := l.edge("e")
		defer e.close()
		leased, err := words.Read(e.ctx, a.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"l", "k"}}, Session: e.sid})
		if err != nil || leased.Lease(1) == 0 || !slices.Equal(leased.Deadlines, read.Deadlines) {
			t.Fatal(leased, err)
		}
		said("the grant", 6*time.Second, leased.Entries...)
		list, err := a.authority.List(t.Context(), &words.ListRequest{ListRequest: api.ListRequest{Range: api.Range{Start: "k"}}})
		if err != nil || len(list.Entries) != 2 {
			t.Fatal(list, err)
		}
		said("the list", 6*time.Second, list.Entries...)
		touched, _ := a.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpTouch, Key: "k", TTL: 20 * time.Second}}}})
		said("the touch", 20*time.Second, touched.Entries...)
		if _, holds := e.serves("k"); len(a.machine.Holders([]api.Key{"k"})) != 1 {
			t.Errorf("a touch ended a lease (%v)", holds)
		}
		stale, err := words.Read(t.Context(), b.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}, Consistency: api.Stale}})
		if err != nil || stale.ServedBy != api.ServedByStale {
			t.Fatal(stale, err)
		}
		said("a replica", 20*time.Second, stale.Entries...)
		within(t, "the life of the key", a.lives("k", time.Minute), 20*time.Second, 20*time.Second+2*expireEvery)
	})
}

// TestFailoversDelayLittle shows that time without a leader does not count, and that a failover costs a key at most that time and a
// stamp more: elections, however many, do not begin its time to live anew.
func TestFailoversDelayLittle(t *testing.T) {
	const (
		ttl  = 2 * time.Minute
		gap  = 2300 * time.Millisecond
		each = 20 * time.Second
	)
	bubble(t, nil, func(t *testing.T, l *testLog) {
		for _, n := range l.nodes {
			n.clock.setRate(1 + eps)
		}
		began := time.Now()
		l.node("a").mustWrite(putTTL("k", "v", ttl))
		gaps := time.Duration(0)
		for i := 0; l.node("c").has("k") && time.Since(began) < time.Hour; i++ {
			if time.Sleep(each); !l.node("c").has("k") {
				break
			}
			old, next := l.node([]string{"a", "b"}[i%2]), []string{"b", "a"}[i%2]
			old.setCut(true)
			time.Sleep(gap)
			l.elect(next)
			old.setCut(false)
			gaps += gap
			if got := time.Since(began); !l.node("c").has("k") && got < ttl {
				t.Fatalf("the key ended after %v, at an election", got)
			}
		}
		n, led := int(gaps/gap), time.Duration(ttl.Seconds()/(1+eps)*float64(time.Second))
		t.Logf("%d failovers", n)
		within(t, "the life of the key", time.Since(began), led+gaps, led+gaps+time.Duration(n)*(stampEvery+100*time.Millisecond)+each)
	})
}

// TestFailoverWithinALife: a key of 3 s, and 2.3 s without a leader. Its owner, who could not renew it meanwhile, still can.
func TestFailoverWithinALife(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		l.node("a").mustWrite(putTTL("k", "v", 3*time.Second))
		time.Sleep(500 * time.Millisecond)
		l.node("a").setCut(true)
		time.Sleep(2300 * time.Millisecond)
		b := l.elect("b")
		time.Sleep(time.Second)
		if !b.has("k") {
			t.Fatal("the key ended though its leader was there for 1.5 s of its 3 s")
		}
		if res, _ := b.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpTouch, Key: "k", TTL: 3 * time.Second}}}}); !res.Entries[0].Exists {
			t.Error("it could not be renewed")
		}
	})
}

// TestExpiryIsLogged shows that what one leader's clock says hides no key: while the log has it, it is read, at that leader and at the
// next, whose time is behind. Once it was read as absent, it is absent.
func TestExpiryIsLogged(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.mustWrite(putTTL("k", "v", 2400*time.Millisecond)) // the log's time is 2 s by then, and so is the next leader's
		a.set(func(h *hooks) { h.before = only[fsm.Expire](time.Minute) })
		time.Sleep(2350 * time.Millisecond)
		absent := ""
		look := func(n *testNode) {
			t.Helper()
			began := time.Now()
			x := n.mustRead("k")
			switch {
			case !x.Exists && absent == "":
				absent = n.name
			case x.Exists && absent != "":
				t.Errorf("%s has the key, after %s did not", n.name, absent)
			case x.Exists && (x.TTL <= 0 || x.TTL > time.Second):
				t.Errorf("%v are left", x.TTL)
			}
			if took := time.Since(began); took > overduePatience+10*time.Millisecond {
				t.Errorf("a read of an overdue key took %v", took)
			}
		}
		for range 2 {
			look(a)
			time.Sleep(100 * time.Millisecond)
		}
		if !a.has("k") {
			t.Fatal("the key has ended, so this test shows nothing")
		}
		b := l.elect("b")
		for range 30 {
			look(b)
			time.Sleep(100 * time.Millisecond)
		}
		if absent == "" {
			t.Error("the key never ended")
		}
	})
}

// TestReadsPromptTheEnd: a read or a list that meets an overdue key waits for its end, and answers without it.
func TestReadsPromptTheEnd(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		for i, look := range []func() bool{
			func() bool { return a.mustRead("k").Exists },
			func() bool {
				res, err := a.authority.List(t.Context(), &words.ListRequest{ListRequest: api.ListRequest{Range: api.Range{Start: "k"}}})
				return err != nil || len(res.Entries) > 0
			},
		} {
			a.mustWrite(putTTL("k", "v", time.Second))
			a.set(func(h *hooks) { h.before = only[fsm.Expire](50 * time.Millisecond) })
			time.Sleep(1001 * time.Millisecond)
			if began := time.Now(); look() {
				t.Errorf("look %d: an overdue key is there after %v", i, time.Since(began))
			}
			a.set(func(h *hooks) { h.before = nil })
		}
	})
}

// TestWritesFindOverdueKeysAbsent shows that a transaction, and a part of one across groups, finds a key absent whose time is over, even
// if the leader has not come to it, and even if a dead holder has a lease on it: then it waits for that as any write does.
func TestWritesFindOverdueKeysAbsent(t *testing.T) {
	add := func(k api.Key) *words.Txn {
		t := put(k, "mine")
		t.If = []api.Cond{{Kind: api.CondAbsent, Key: k}}
		return t
	}
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		a.mustWrite(putTTL("k", "v", time.Second))
		time.Sleep(time.Second)
		if res, _ := a.mustWrite(add("k")); !res.Committed {
			t.Error("it found the key")
		}
		a.mustWrite(putTTL("p", "v", time.Second))
		time.Sleep(time.Second)
		v, err := a.authority.Prepare(t.Context(), &fsm.Prepare{Group: "g.1", Txn: refOf(1, ageAt(0)),
			If: []api.Cond{{Kind: api.CondAbsent, Key: "p"}}, Then: []api.Op{{Kind: api.OpPut, Key: "p"}}}, nil, false)
		if err != nil || v.Refused != nil {
			t.Errorf("the part: %+v, %v", v, err)
		}
		a.mustWrite(putTTL("l", "v", time.Second))
		e.lease(a, "l")
		e.set(func(e *testEdge) { e.down = true })
		time.Sleep(time.Second)
		res, took := a.mustWrite(add("l"))
		if !res.Committed {
			t.Error("it found the leased key")
		}
		within(t, "the write", took, time.Second, grantorWait+time.Second)
	})
}

// TestOverdueKeyTakesATurn shows that transactions which share a key, each from before the end of the one before it, cannot keep the
// key beyond its time for longer than one of them lasts.
func TestOverdueKeyTakesATurn(t *testing.T) {
	bubble(t, func(c *Config) { c.Groups = reachNone{} }, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.mustWrite(putTTL("k", "v", time.Second))
		const lasts = 300 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var ended time.Duration
		began := time.Now()
		for i := uint64(1); ctx.Err() == nil && ended == 0; i++ {
			p := &fsm.Prepare{Group: "g.1", Txn: refOf(i, ageAt(0)), If: []api.Cond{{Kind: api.CondExists, Key: "k"}},
				Then: []api.Op{{Kind: api.OpPut, Key: api.Key(fmt.Sprint("o", i))}}}
			if _, err := a.authority.Prepare(ctx, p, nil, false); err != nil && ctx.Err() == nil {
				t.Fatal(err)
			}
			time.AfterFunc(lasts, func() { a.resolve(i) })
			if time.Sleep(lasts / 2); !a.has("k") {
				ended = time.Since(began)
			}
		}
		if ended == 0 {
			t.Fatal("the key did not end while transactions shared it")
		}
		within(t, "the life of the key", ended, time.Second, time.Second+3*lasts)
		time.Sleep(lasts)
	})
}

// TestDeadHolderDelaysItsKeysAlone: under a mass expiry, keys that a dead holder has leases on wait for it. All others end at once, also
// those that live holders have, and writes go on.
func TestDeadHolderDelaysItsKeysAlone(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, live, dead := l.node("a"), l.edge("live"), l.edge("dead")
		defer live.close()
		defer dead.close()
		live.set(func(e *testEdge) { e.latency = 20 * time.Millisecond })
		live.live()
		const n, ttl = 300, 3 * time.Second
		var keys []api.Key
		txn := &words.Txn{}
		for i := range 3 * n {
			keys = append(keys, api.Key(fmt.Sprintf("k%04d", i)))
			txn.Then = append(txn.Then, api.Op{Kind: api.OpPut, Key: keys[i], TTL: ttl})
		}
		a.mustWrite(txn)
		live.lease(a, keys[n:2*n]...)
		dead.lease(a, keys[2*n:]...)
		live.lease(a, keys[2*n:2*n+10]...)
		dead.keepAlive(a)
		dead.set(func(e *testEdge) { e.down = true })
		time.Sleep(ttl - time.Second - 20*40*time.Millisecond)
		for i := range 20 {
			if _, took := a.mustWrite(put(api.Key(fmt.Sprint("w", i)), "v")); took > 10*time.Millisecond {
				t.Errorf("a write took %v", took)
			}
			time.Sleep(40 * time.Millisecond)
		}
		left := func(from, to int) int {
			return len(a.machine.Overdue(keys[from:to], never>>8))
		}
		time.Sleep(time.Until(time.Now()))
		for left(0, n) > 0 {
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		time.Sleep(100 * time.Millisecond)
		if m := left(n, 2*n); m > 0 {
			t.Errorf("%d keys of a live holder are there 100 ms after those without one have ended", m)
		}
		if m := left(2*n, 3*n); m != n {
			t.Errorf("only %d of %d keys of the dead holder are there", m, n)
		}
		for left(2*n, 3*n) > 0 && time.Since(began) < time.Minute {
			time.Sleep(time.Millisecond)
		}
		within(t, "the end of the dead holder's keys", time.Since(began), 100*time.Millisecond, grantorWait+time.Second)
	})
}

// TestCommitIsLate: a put that waits 5 s for its commit, of a key that lives for 3 s. The time counts from the proposal, as its client
// counts it: the key is visible, and ends next.
func TestCommitIsLate(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.set(func(h *hooks) { h.before = only[fsm.Write](5 * time.Second) })
		res, took := a.mustWrite(putTTL("k", "v", 3*time.Second))
		if !res.Committed || took != 5*time.Second || res.Entries[0].TTL != time.Millisecond {
			t.Errorf("%+v after %v", res, took)
		}
		within(t, "the rest of its life", a.lives("k", time.Minute), 0, 3*expireEvery)
	})
}

// TestLateResolveIsOverdue: what a transaction across groups wrote counts from its prepare. If it is resolved after its deadline, it
// becomes visible, and ends.
func TestLateResolveIsOverdue(t *testing.T) {
	bubble(t, func(c *Config) { c.Groups, c.AbortAfter = reachNone{}, time.Hour }, func(t *testing.T, l *testLog) {
		a := l.node("a")
		p := &fsm.Prepare{Group: "g.1", Txn: refOf(1, ageAt(0)), Then: []api.Op{{Kind: api.OpPut, Key: "k", TTL: 2 * time.Second}}}
		if v, err := a.authority.Prepare(t.Context(), p, nil, false); err != nil || v.Txn.Entries[0].TTL != 2*time.Second {
			t.Fatalf("%+v, %v", v, err)
		}
		a.mustWrite(putTTL("later", "v", time.Hour))
		time.Sleep(10 * time.Second)
		a.resolve(1)
		if !a.has("k") {
			t.Fatal("what was committed did not become visible")
		}
		within(t, "the life of the key", a.lives("k", time.Minute), 0, lookAgain+2*expireEvery)
	})
}

// TestIdleGroupsCostNothing: a group without deadlines proposes nothing on their account, one with a deadline far away a Tick a second,
// and none while writes stamp the log.
func TestIdleGroupsCostNothing(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		entries := len(l.entries)
		time.Sleep(10 * time.Minute)
		if n := logged[fsm.Tick](l); n > 0 {
			t.Errorf("%d Ticks without a deadline, %d entries in all", n, len(l.entries)-entries)
		}
		a.mustWrite(putTTL("k", "v", time.Hour))
		time.Sleep(time.Minute)
		if n := logged[fsm.Tick](l); n < 58 || n > 60 {
			t.Errorf("%d Ticks in a minute", n)
		}
		before := logged[fsm.Tick](l)
		for range 60 {
			a.mustWrite(put("other", "v"))
			time.Sleep(500 * time.Millisecond)
		}
		if n := logged[fsm.Tick](l) - before; n > 1 {
			t.Errorf("%d Ticks beside writes", n)
		}
		a.mustWrite(put("k", "v")) // has no deadline any more
		before = logged[fsm.Tick](l)
		time.Sleep(time.Minute)
		if n := logged[fsm.Tick](l) - before; n > 0 {
			t.Errorf("%d Ticks after the last deadline went", n)
		}
	})
}

// TestShorterDeadlineIsNoticed: the leader, which sleeps until the next deadline, is woken by an earlier one.
func TestShorterDeadlineIsNoticed(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.mustWrite(putTTL("long", "v", time.Hour))
		time.Sleep(10 * time.Millisecond)
		for range 5 {
			a.mustWrite(putTTL("short", "v", 150*time.Millisecond))
			within(t, "the life of the key", a.lives("short", time.Minute), 149*time.Millisecond, 150*time.Millisecond+2*expireEvery)
		}
	})
}

// TestKeepAliveTellsTheTime: the answer to a keep-alive has the group's counter and its time, both from after the confirm.
func TestKeepAliveTellsTheTime(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		a.mustWrite(putTTL("k", "v", time.Hour))
		time.Sleep(2500 * time.Millisecond)
		a.set(func(h *hooks) { h.confirm = func() time.Duration { return 200 * time.Millisecond } })
		answered := make(chan words.SessionStatus)
		go func() {
			s, _ := e.keepAlive(a)
			answered <- s
		}()
		time.Sleep(100 * time.Millisecond)
		res, _ := a.mustWrite(put("l", "v"))
		s := <-answered
		if s.Index < res.Version.Index {
			t.Errorf("the answer says the counter %d, though %d had applied before its confirm ended", s.Index, res.Version.Index)
		}
		if s.Now < 2690 || s.Now > 2710 {
			t.Errorf("the answer says the time %d, 2.7 s after the term began", s.Now)
		}
		g, err := a.authority.OpenSession(e.ctx, words.OpenSession{Group: "g.1", Node: e.node, Nonce: e.nonce, Term: e.term})
		if err != nil || g.Now != s.Now {
			t.Errorf("an opened session says the time %d, %v", g.Now, err)
		}
	})
}

// TestLevelOfFunctions: below level 6 a group proposes no function of bytes, no step that keeps a deadline and nothing of more than
// 1,000 operations, says why, and takes all of them after it has risen.
func TestLevelOfFunctions(t *testing.T) {
	before := func(c *Config) {
		c.Init = nil
		if _, err := c.Machine.Apply(0, 0, [][]byte{fsm.Encode(testInit, fsm.Level5)}); err != nil {
			t.Fatal(err)
		}
	}
	var many []api.Op
	for range api.MaxTxnOps {
		many = append(many, api.Op{Kind: api.OpPut, Key: "k"})
	}
	bubble(t, before, func(t *testing.T, l *testLog) {
		a := l.node("a")
		entries := len(l.entries)
		refused := func(err error) {
			t.Helper()
			wantCode(t, err, api.CodeUnavailable)
			if !strings.Contains(err.Error(), "level 5") || !strings.Contains(err.Error(), "upgrade") {
				t.Errorf("%v", err)
			}
		}
		branches := [][]api.Op{many, {{Kind: api.OpPut, Key: "k", KeepTTL: true}}, {{Kind: api.OpAppend, Key: "k"}}, {{Kind: api.OpMax64, Key: "k", Value: make([]byte, 8)}}}
		for _, ops := range branches {
			_, err := a.authority.Do(t.Context(), &words.Txn{Txn: api.Txn{Then: ops}})
			refused(err)
			_, err = a.authority.Prepare(t.Context(), &fsm.Prepare{Group: "g.1", Txn: refOf(1, 1), Then: ops}, nil, false)
			refused(err)
		}
		own := refOf(1, 1)
		own.ID.Decider = "g.1"
		outcomes := make([]fsm.Outcome, 1001)
		_, err := a.authority.Decide(t.Context(), &fsm.Decide{Txn: own, Outcome: ident.TxnCommitted, Participants: []api.GroupID{"g.2"}, Outcomes: outcomes})
		refused(err)
		_, err = a.authority.CommitLast(t.Context(), &fsm.CommitLast{Txn: own, Then: many[:1], Outcomes: outcomes, Places: []uint32{0}}, nil)
		refused(err)
		if n := len(l.entries); n != entries {
			t.Errorf("%d entries were proposed", n-entries)
		}
		if err := a.authority.Raise(t.Context(), func(context.Context) fsm.Level { return fsm.Level6 }); err != nil {
			t.Fatal(err)
		}
		for _, ops := range branches {
			a.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "k"}}}})
			a.mustWrite(&words.Txn{Txn: api.Txn{Then: ops}})
		}
	})
}

// TestLevelOfTime: below level 5 a group proposes nothing that its members might not know, says why, and keeps no time.
func TestLevelOfTime(t *testing.T) {
	before := func(c *Config) {
		c.Init = nil
		if _, err := c.Machine.Apply(0, 0, [][]byte{fsm.Encode(testInit, fsm.Level4)}); err != nil {
			t.Fatal(err)
		}
	}
	bubble(t, before, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		entries := len(l.entries)
		for _, o := range []api.Op{
			{Kind: api.OpPut, Key: "k", TTL: time.Second}, {Kind: api.OpTouch, Key: "k", TTL: time.Second}, {Kind: api.OpList, Key: "k", Limit: 1},
		} {
			_, err := a.authority.Do(t.Context(), &words.Txn{Txn: api.Txn{Then: []api.Op{o}}})
			wantCode(t, err, api.CodeUnavailable)
			if !strings.Contains(err.Error(), "level 4") || !strings.Contains(err.Error(), "upgrade") {
				t.Errorf("%v", err)
			}
			_, err = a.authority.Do(t.Context(), &words.Txn{Txn: api.Txn{If: []api.Cond{{Kind: api.CondExists, Key: "k"}}, Else: []api.Op{o}}})
			wantCode(t, err, api.CodeUnavailable)
			_, err = a.authority.Prepare(t.Context(), &fsm.Prepare{Group: "g.1", Txn: refOf(1, 1), Then: []api.Op{o}}, nil, false)
			wantCode(t, err, api.CodeUnavailable)
		}
		if n := len(l.entries); n != entries {
			t.Errorf("%d entries were proposed", n-entries)
		}
		if s, _ := e.keepAlive(a); s.Now != 0 {
			t.Errorf("a group without time says %d", s.Now)
		}
		a.mustWrite(put("k", "v"))
		if err := a.authority.Raise(t.Context(), func(context.Context) fsm.Level { return fsm.Level5 }); err != nil {
			t.Fatal(err)
		}
		a.mustWrite(putTTL("k", "v", time.Second))
		within(t, "the life of the key", a.lives("k", time.Minute), 999*time.Millisecond, time.Second+2*expireEvery)
	})
}
