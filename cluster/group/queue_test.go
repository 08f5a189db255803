package group

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// lock prepares a transaction that writes the keys, and returns its vote.
func (n *testNode) lock(seq uint64, age uint64, keys ...api.Key) *fsm.Vote {
	n.log.t.Helper()
	p := &fsm.Prepare{Group: "g.1", Txn: refOf(seq, age)}
	for _, k := range keys {
		p.Then = append(p.Then, api.Op{Kind: api.OpPut, Key: k, Value: []byte("new")})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	v, err := n.authority.Prepare(ctx, p, nil, false)
	if err != nil {
		n.log.t.Fatal(err)
	}
	return v
}

func refOf(seq, age uint64) ident.TxnRef {
	return ident.TxnRef{ID: ident.TxnID{Client: api.ClientID{5}, Seq: seq, Attempt: 1 << 16, Decider: "g.2"}, Age: age}
}

func (n *testNode) resolve(seq uint64) {
	n.log.t.Helper()
	if err := n.authority.Resolve(context.Background(), fsm.Resolve{Group: "g.1", Txn: refOf(seq, 0).ID, Outcome: ident.TxnCommitted}); err != nil {
		n.log.t.Fatal(err)
	}
}

// ageAt returns the age of a request that began the duration ago.
func ageAt(ago time.Duration) uint64 { return uint64(time.Now().Add(-ago).UnixNano()) }

// readers are the requests that read many keys at once.
var readers = map[string]func(ctx context.Context, r *Authority, keys []api.Key, age uint64) error{
	"read": func(ctx context.Context, r *Authority, keys []api.Key, age uint64) error {
		_, err := words.Read(ctx, r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: keys}, Age: age})
		return err
	},
	"list": func(ctx context.Context, r *Authority, _ []api.Key, age uint64) error {
		_, err := r.List(ctx, &words.ListRequest{ListRequest: api.ListRequest{Range: api.PrefixRange("k")}, Age: age})
		return err
	},
}

// TestReadKeepsYoungerTransactionsOff checks that a read or list of many keys, some of which are always locked, is answered once
// the transactions that came before it have ended. Younger transactions are kept off, older ones are not.
func TestReadKeepsYoungerTransactionsOff(t *testing.T) {
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(c *Config) { c.Groups = reachNone{} }, func(t *testing.T, l *testLog) {
				a := l.node("a")
				keys := make([]api.Key, 100)
				for i := range keys {
					keys[i] = api.Key(fmt.Sprintf("k%02d", i))
					a.mustWrite(put(keys[i], "old"))
				}
				a.lock(1, ageAt(time.Second), keys[0])
				answered := make(chan error, 1)
				began := ageAt(0)
				go func() { answered <- read(within10(t), a.authority, keys, began) }()
				time.Sleep(10 * time.Millisecond)
				if v := a.lock(2, ageAt(0), keys[1], "other"); v.Refused == nil {
					t.Error("a younger transaction has locked a key of a read that waits")
				}
				if v := a.lock(3, ageAt(0), "other"); v.Refused != nil {
					t.Errorf("a transaction of other keys was refused: %v", v.Refused)
				}
				if v := a.lock(4, ageAt(2*time.Second), keys[2]); v.Refused != nil {
					t.Errorf("an older transaction was refused: %v", v.Refused)
				}
				a.resolve(1)
				time.Sleep(10 * time.Millisecond)
				select {
				case err := <-answered:
					t.Fatalf("answered %v while a transaction held a key", err)
				default:
				}
				a.resolve(4)
				if err := <-answered; err != nil {
					t.Error(err)
				}
				if v := a.lock(5, ageAt(0), keys[1]); v.Refused != nil {
					t.Errorf("the read is over, and its position is still queued: %v", v.Refused)
				}
			})
		})
	}
}

// TestPositionEndsWithItsCaller checks that a read whose caller has gone keeps no request off.
func TestPositionEndsWithItsCaller(t *testing.T) {
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(c *Config) { c.Groups = reachNone{} }, func(t *testing.T, l *testLog) {
				a := l.node("a")
				a.lock(1, ageAt(time.Second), "k1")
				ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
				defer cancel()
				wantCode(t, read(ctx, a.authority, []api.Key{"k1", "k2"}, ageAt(0)), api.CodeUnavailable)
				if v := a.lock(2, ageAt(0), "k2"); v.Refused != nil {
					t.Error(v.Refused)
				}
			})
		})
	}
}

// TestPositionIsKeptBetweenRounds checks that a read that will come again keeps younger transactions off until it has
// come and found nothing changed. With HoldFirm it keeps single writes off as well. If it does not come again, it
// keeps them off for MaxHold.
func TestPositionIsKeptBetweenRounds(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.mustWrite(put("k", "v"))
		read := func(hold words.Hold, age uint64, known ...api.Version) api.Entry {
			res, err := words.Read(within10(t), a.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}, Known: known}, Age: age, Hold: hold})
			if err != nil {
				t.Fatal(err)
			}
			return res.Entries[0]
		}
		refused := func(seq uint64) bool {
			v := a.lock(seq, ageAt(0), "k")
			if v.Refused == nil {
				a.resolve(seq)
			}
			return v.Refused != nil
		}
		age := ageAt(0)
		time.Sleep(time.Millisecond)
		first := read(words.HoldRound, age)
		if !refused(1) {
			t.Error("a transaction has come between two rounds")
		}
		if _, took := a.mustWrite(put("k", "w")); took > time.Millisecond {
			t.Errorf("a single write took %v", took)
		}
		second := read(words.HoldRound|words.HoldFirm, age, first.Version)
		if second.Version == first.Version {
			t.Fatal("it has not seen the write")
		}
		began := time.Now()
		written := make(chan time.Duration)
		go func() {
			a.mustWrite(put("k", "x"))
			written <- time.Since(began)
		}()
		time.Sleep(100 * time.Millisecond)
		if third := read(words.HoldRound|words.HoldFirm, age, second.Version); third.Version != second.Version {
			t.Error("a write has come between two rounds")
		}
		within(t, "the write", <-written, 100*time.Millisecond, 150*time.Millisecond)
		if refused(2) {
			t.Error("the read has found nothing changed, and its position is still queued")
		}
		age = ageAt(0)
		time.Sleep(time.Millisecond)
		read(words.HoldRound, age)
		time.Sleep(words.MaxHold)
		if refused(3) {
			t.Error("the read has not come again, and its position is still queued")
		}
	})
}

// TestPositionByAnotherClock checks gateways whose clock is ahead of the leader's or far behind it. The position that a read
// has kept for its transaction keeps neither the transaction nor its next read off, and ends with the vote.
func TestPositionByAnotherClock(t *testing.T) {
	for _, ahead := range []time.Duration{-2 * words.MaxAge, 0, time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, l *testLog) {
				a := l.node("a")
				age := ageAt(-ahead)
				for range 2 {
					time.Sleep(time.Millisecond)
					began := time.Now()
					_, err := words.Read(within10(t), a.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k", "l"}}, Age: age, Hold: words.HoldTxn | words.HoldFirm})
					if took := time.Since(began); err != nil || took > time.Millisecond {
						t.Fatalf("the read took %v: %v", took, err)
					}
				}
				time.Sleep(time.Millisecond)
				if v := a.lock(1, age, "k"); v.Refused != nil {
					t.Fatalf("the transaction is kept off by its own read: %v", v.Refused)
				}
				if _, took := a.mustWrite(put("l", "v")); took > time.Millisecond {
					t.Errorf("a write of a key that was read took %v after the vote", took)
				}
			})
		})
	}
}

// TestPositionsAreBounded checks that requests over the limit are refused and that none stays in the queue.
func TestPositionsAreBounded(t *testing.T) {
	bubble(t, func(c *Config) { c.MaxWaiting, c.Groups = 10, reachNone{} }, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.lock(1, ageAt(0), "k")
		refused := make(chan bool, 20)
		for range 20 {
			go func() {
				_, err := words.Read(within10(t), a.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}})
				refused <- api.CodeOf(err) == api.CodeUnavailable
			}()
		}
		time.Sleep(10 * time.Millisecond)
		a.resolve(1)
		n := 0
		for range 20 {
			if <-refused {
				n++
			}
		}
		a.authority.mu.Lock()
		defer a.authority.mu.Unlock()
		q := &a.authority.lead.queue
		if n != 10 || q.positions+q.keys+q.firm+len(q.byKey)+len(q.lists)+len(q.held) != 0 {
			t.Errorf("%d of 20 were refused; left behind: %+v", n, q)
		}
	})
}

// TestKeptPositionsMakeRoom checks that reads that were answered and do not come again take no places from requests that
// wait.
func TestKeptPositionsMakeRoom(t *testing.T) {
	bubble(t, func(c *Config) { c.MaxWaiting, c.Groups = 10, reachNone{} }, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.lock(1, ageAt(0), "k")
		for range 30 {
			q := &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"other"}}, Age: words.NewAge(), Hold: words.HoldRound | words.HoldFirm}
			if _, err := words.Read(within10(t), a.authority, q); err != nil {
				t.Fatal(err)
			}
		}
		written := make(chan error, 1)
		go func() {
			_, _, err := a.write(time.Second/2, put("k", "v"))
			written <- err
		}()
		time.Sleep(10 * time.Millisecond)
		a.resolve(1)
		if err := <-written; err != nil {
			t.Error(err)
		}
		a.authority.mu.Lock()
		defer a.authority.mu.Unlock()
		a.authority.lead.queue.expire(time.Now().Add(words.MaxHold))
		if q := &a.authority.lead.queue; q.positions+q.keys+q.firm+len(q.byKey)+len(q.lists)+len(q.held)+len(q.ending) != 0 {
			t.Errorf("left behind: %+v", q)
		}
	})
}

// TestManyReadersOfOneKey checks that if more transactions read a key than may lock it at once, the others wait.
func TestManyReadersOfOneKey(t *testing.T) {
	bubble(t, func(c *Config) { c.Groups = reachNone{} }, func(t *testing.T, l *testLog) {
		a := l.node("a")
		shared := func(seq, age uint64, free bool) (*fsm.Vote, error) {
			return a.authority.Prepare(within10(t), &fsm.Prepare{Group: "g.1", Txn: refOf(seq, age),
				If: []api.Cond{{Kind: api.CondAbsent, Key: "read"}}, Then: put(api.Key(fmt.Sprint("own", seq)), "v").Then}, nil, free)
		}
		age := ageAt(0)
		for seq := range uint64(fsm.MaxReaders) {
			if v, err := shared(seq+1, age, false); err != nil || v.Refused != nil {
				t.Fatal(v, err)
			}
		}
		if v, err := shared(1000, age+1, false); err != nil || v.Refused == nil || v.Refused.Code != fsm.RetryIntents {
			t.Errorf("a younger one: %+v, %v", v, err)
		}
		voted := make(chan error, 1)
		go func() {
			v, err := shared(1001, age-1, false)
			if err == nil && v.Refused != nil {
				err = v.Refused
			}
			voted <- err
		}()
		time.Sleep(time.Second)
		a.resolve(1)
		if err := <-voted; err != nil {
			t.Errorf("one more reader: %v", err)
		}
	})
}

// TestAgesAreClamped checks that an age that is not believable is replaced by one that is.
func TestAgesAreClamped(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	at := func(d time.Duration) uint64 { return uint64(now.Add(d).UnixNano()) }
	for _, c := range []struct{ age, want uint64 }{
		{0, at(0)}, {at(0), at(0)}, {at(time.Hour), at(0)}, {^uint64(0), at(0)},
		{at(-time.Second), at(-time.Second)}, {at(-time.Hour), at(-time.Minute)}, {1, at(-time.Minute)},
	} {
		if got := words.ClampAge(c.age, now, time.Minute); got != c.want {
			t.Errorf("%d becomes %d, want %d", c.age, got, c.want)
		}
	}
	bubble(t, func(c *Config) { c.Groups = reachNone{} }, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.lock(1, 1, "k")
		a.lock(2, ageAt(-time.Hour), "l")
		for _, x := range a.machine.Intents([]api.Key{"k", "l"}) {
			if age := time.Since(time.Unix(0, int64(x.Txn.Age))); age < 0 || age > words.MaxAge {
				t.Errorf("the intent on %q says that it is %v old", x.Key, age)
			}
		}
	})
}

func within10(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// reachNone is a Groups none of whose groups answers.
type reachNone struct{}

func (reachNone) Outcome(ctx context.Context, ref ident.TxnRef, _ bool) (*fsm.Decision, error) {
	return &fsm.Decision{Txn: ref.ID}, nil
}
func (reachNone) Resolve(context.Context, fsm.Resolve) error { return unavailable("lost") }

// TestListStepKeepsYoungerTransactionsOff checks that a write with a step that lists waits for the transactions that write under the
// prefix, keeps younger ones off meanwhile, also from keys that do not exist yet, and lists what the transactions have left.
func TestListStepKeepsYoungerTransactionsOff(t *testing.T) {
	bubble(t, func(c *Config) { c.Groups = reachNone{} }, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.lock(1, ageAt(time.Second), "k0")
		type answer struct {
			res *api.TxnResult
			err error
		}
		answered := make(chan answer, 1)
		txn := put("other", "v")
		txn.Age = ageAt(0)
		txn.Then = append(txn.Then, api.Op{Kind: api.OpList, Key: "k", Limit: 10})
		go func() {
			res, err := a.authority.Do(within10(t), txn)
			answered <- answer{res, err}
		}()
		time.Sleep(10 * time.Millisecond)
		if v := a.lock(2, ageAt(0), "k1"); v.Refused == nil {
			t.Error("a younger transaction has locked a key under the prefix of a list that waits")
		}
		if v := a.lock(3, ageAt(0), "l"); v.Refused != nil {
			t.Errorf("a transaction of other keys was refused: %v", v.Refused)
		}
		select {
		case x := <-answered:
			t.Fatalf("answered %+v while a transaction held a key", x)
		default:
		}
		a.resolve(1)
		x := <-answered
		if x.err != nil || len(x.res.Lists) != 1 || len(x.res.Lists[0]) != 1 || x.res.Lists[0][0].Key != "k0" {
			t.Errorf("%+v, %v", x.res, x.err)
		}
		if v := a.lock(5, ageAt(0), "k1"); v.Refused != nil {
			t.Errorf("the list is over, and its position is still queued: %v", v.Refused)
		}
	})
}

// TestListedBy checks that a position covers all that a write lists.
func TestListedBy(t *testing.T) {
	list := func(k api.Key) api.Op { return api.Op{Kind: api.OpList, Key: k, Limit: 1} }
	for _, c := range []struct {
		then, otherwise []api.Op
		want            *api.Range
	}{
		{[]api.Op{{Kind: api.OpTouch, Key: "k"}}, nil, nil}, {[]api.Op{list("b")}, nil, &api.Range{Start: "b", End: "c"}},
		{[]api.Op{list("b")}, []api.Op{list("a")}, &api.Range{Start: "a", End: "c"}},
		{[]api.Op{list("\xff"), list("a")}, nil, &api.Range{Start: "a"}},
	} {
		got := listedBy(&api.Txn{Then: c.then, Else: c.otherwise})
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%+v, %+v: %v, want %v", c.then, c.otherwise, got, c.want)
		}
	}
}
