package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

const second = 1000 // of group time

func putFor(k api.Key, v string, ttl time.Duration) api.Op {
	return api.Op{Kind: api.OpPut, Key: k, Value: []byte(v), TTL: ttl}
}

func touchFor(k api.Key, ttl time.Duration) api.Op {
	return api.Op{Kind: api.OpTouch, Key: k, TTL: ttl}
}

func appendFor(k api.Key, v string, ttl time.Duration) api.Op {
	return api.Op{Kind: api.OpAppendIfAbsent, Key: k, Value: []byte(v), TTL: ttl}
}

func opList(prefix api.Key, limit int) api.Op {
	return api.Op{Kind: api.OpList, Key: prefix, Limit: limit}
}

// at carries out the steps at that group time.
func (r *rig) at(now uint64, ops ...api.Op) Result {
	r.Helper()
	return r.ok(Write{Term: r.term, Txn: api.Txn{Then: ops}, Now: now})
}

// deadline is what the machine's reads say.
func (r *rig) deadline(k api.Key) uint64 {
	r.Helper()
	es, ds, err := r.m.Read([]api.Key{k})
	if err != nil {
		r.Fatal(err)
	}
	if len(ds) == 0 {
		return 0
	}
	if !es[0].Exists || ds[0] == 0 {
		r.Fatalf("%q: %+v with the deadlines %d", k, es[0], ds)
	}
	return ds[0]
}

func (r *rig) wantDeadlines(want map[api.Key]uint64) {
	r.Helper()
	for k, d := range want {
		if got := r.deadline(k); got != d {
			r.Errorf("%q has the deadline %d, want %d", k, got, d)
		}
	}
}

// expireDue proposes what is due at that time.
func (r *rig) expireDue(now uint64) Result {
	r.Helper()
	c := Expire{Term: r.term, Now: now}
	for _, d := range r.m.Due(now, MaxExpire) {
		c.Keys = append(c.Keys, KeyVersion{d.Key, d.Version})
	}
	return r.ok(c)
}

// TestStepsSetDeadlines shows what each kind of step makes of a deadline, alone and behind other steps of a transaction.
func TestStepsSetDeadlines(t *testing.T) {
	r := founded(t)
	r.ok(Tick{1, 10 * second})
	res := r.at(9*second, putFor("a", "1", 5*time.Second), putFor("b", "x", 5*time.Second), putFor("c", "1", 0), appendFor("d", "<1>", time.Second),
		putFor("e", "1", time.Second+1), opAdd("e", 1))
	if want := []uint64{15 * second, 15 * second, 0, 11 * second, 11*second + 1, 11*second + 1}; !slices.Equal(res.Deadlines, want) {
		t.Errorf("the steps have the deadlines %d, want %d: time never falls, and an add keeps", res.Deadlines, want)
	}
	r.wantDeadlines(map[api.Key]uint64{"a": 15 * second, "b": 15 * second, "c": 0, "d": 11 * second, "e": 11*second + 1})

	before := r.read("c").Version
	res = r.at(20*second, opAdd("a", 1), putFor("b", "y", 0), touchFor("c", time.Hour), touchFor("gone", time.Hour), appendFor("d", "<1>", time.Hour))
	r.wantDeadlines(map[api.Key]uint64{"a": 15 * second, "b": 0, "c": 0, "d": 11 * second})
	if es := res.Txn.Entries; es[2].Version != before || !es[2].Exists || es[3].Exists || r.read("gone").Exists {
		t.Errorf("touches of a key without a deadline and of an absent one gave %+v", es)
	}
	if r.m.Now() != 20*second {
		t.Errorf("a Write moved the time to %d", r.m.Now())
	}

	r.at(0, appendFor("d", "<2>", time.Hour), api.Op{Kind: api.OpDelete, Key: "a"}, opAdd("a", 1), putFor("e", "1", time.Second), putFor("e", "2", 0))
	r.wantDeadlines(map[api.Key]uint64{"a": 0, "d": 20*second + 3600*second, "e": 0})
	r.at(0, appendFor("d", "<3>", 0), putFor("f", "", time.Second), touchFor("f", time.Minute), touchFor("f", time.Second))
	r.wantDeadlines(map[api.Key]uint64{"d": 0, "f": 80 * second})
	if m := r.m.Meta(); m.Deadlines != 1 {
		t.Errorf("%d keys have a deadline", m.Deadlines)
	}
}

// TestTouchOnlyRaises shows that a touch raises a deadline and lowers none, keeps version, value and leases, and passes the shared
// intents of transactions.
func TestTouchOnlyRaises(t *testing.T) {
	r := founded(t)
	v := r.at(0, putFor("k", "v", 10*time.Second)).Txn.Version
	sid := r.open("n")
	res := r.ok(Grant{Term: 1, Items: []GrantItem{{Session: sid, Keys: []api.Key{"other", "k", "last"}}}})
	if want := []uint64{0, 10 * second, 0}; !slices.Equal(res.Deadlines, want) {
		t.Errorf("the grant says the deadlines %d, want %d", res.Deadlines, want)
	}
	r.at(second, touchFor("k", 5*time.Second))
	r.wantDeadlines(map[api.Key]uint64{"k": 10 * second})
	tx := ref("reader", 1, "g.2")
	r.ok(Prepare{Term: 1, Group: "g.1", Txn: tx, If: []api.Cond{{Kind: api.CondVersion, Key: "k", Version: v}}})
	res = r.at(2*second, touchFor("k", 20*time.Second))
	r.wantDeadlines(map[api.Key]uint64{"k": 22 * second})
	if e := res.Txn.Entries[0]; e.Version != v || !e.Exists || !slices.Equal(res.Deadlines, []uint64{22 * second}) || !res.Txn.Version.IsZero() {
		t.Errorf("the touch gave %+v, deadlines %d, as version %v", e, res.Deadlines, res.Txn.Version)
	}
	if e := r.read("k"); e.Version != v || string(e.Value) != "v" || r.holders("k") != 1 {
		t.Errorf("after a touch: %+v, %d holders", e, r.holders("k"))
	}
	r.ok(Resolve{"g.1", tx.ID, ident.TxnCommitted})

	r.ok(Kill{1, []ident.SessionID{sid}})
	writer := ref("writer", 1, "g.2")
	r.ok(Prepare{Term: 1, Group: "g.1", Txn: writer, Then: []api.Op{putFor("k", "w", 0)}})
	r.refused(Write{Term: 1, Txn: api.Txn{Then: []api.Op{touchFor("k", time.Hour)}}}, RetryIntents)
}

// TestExpireJudgesEachKey shows that an Expire ends a key only at its version, past its deadline, without intents and live leases, and
// that what it leaves keeps nothing else.
func TestExpireJudgesEachKey(t *testing.T) {
	r := founded(t)
	v := map[api.Key]api.Version{}
	for _, k := range []api.Key{"early", "ends", "held", "cleared", "dead", "put", "kept", "locked", "read", "touched", "same"} {
		v[k] = r.at(0, putFor(k, "v", 10*time.Second)).Txn.Version
	}
	r.at(0, touchFor("early", time.Minute))
	kept := r.put("never", "v")
	holder, dying := r.open("n"), r.open("m")
	r.grant(holder, "held", "cleared")
	lid := r.grant(dying, "dead")
	r.at(5*second, putFor("put", "w", 0), putFor("kept", "w", time.Second))
	r.at(5*second, touchFor("touched", time.Minute))
	write, read := ref("writer", 1, "g.2"), ref("reader", 2, "g.2")
	r.ok(Prepare{Term: 1, Group: "g.1", Txn: write, Then: []api.Op{putFor("locked", "w", 0)}})
	r.ok(Prepare{Term: 1, Group: "g.1", Txn: read, If: []api.Cond{{Kind: api.CondExists, Key: "read"}}})
	all := Expire{Term: 1, Now: 10 * second, Killed: []ident.SessionID{dying},
		Cleared: []ident.DroppedLease{{Session: holder, Key: "cleared", Lease: lid}}}
	for _, k := range []api.Key{"absent", "never", "early", "ends", "held", "cleared", "dead", "put", "kept", "locked", "read", "touched", "same", "same"} {
		all.Keys = append(all.Keys, KeyVersion{k, v[k]})
	}
	all.Keys[1].Version = kept
	early := all
	early.Now--
	r.refused(Expire{Term: 2, Now: 10 * second, Keys: all.Keys}, api.CodeNotLeader)
	if res := r.ok(Expire{Term: 1, Now: early.Now, Keys: all.Keys}); len(res.Left) != len(all.Keys) || len(res.Holders)+len(res.Intents) != 0 {
		t.Errorf("one millisecond before: %+v", res)
	}
	res := r.ok(all)
	left := []api.Key{"absent", "never", "early", "held", "put", "kept", "locked", "read", "touched", "same"}
	if !slices.Equal(res.Left, left) {
		t.Errorf("left are %q, want %q", res.Left, left)
	}
	if len(res.Holders) != 1 || res.Holders[0].Key != "held" || res.Holders[0].Session != holder {
		t.Errorf("in the way are the holders %+v", res.Holders)
	}
	if in := res.Intents; len(in) != 2 || in[0].Key != "locked" || !in[0].Exclusive || in[1].Key != "read" || in[1].Exclusive {
		t.Errorf("in the way are the intents %+v", in)
	}
	ended := api.Version{Epoch: 1, Index: res.Index}
	for _, k := range []api.Key{"ends", "cleared", "dead", "same"} {
		if e := r.read(k); e.Exists || e.Version != ended {
			t.Errorf("%q is %+v, want its absence at %v", k, e, ended)
		}
	}
	r.wantDeadlines(map[api.Key]uint64{"early": 60 * second, "held": 10 * second, "put": 0, "kept": 6 * second, "touched": 65 * second})

	r.ok(Resolve{"g.1", write.ID, ident.TxnAborted})
	r.ok(Resolve{"g.1", read.ID, ident.TxnAborted})
	r.ok(Release{[]ident.DroppedLease{{Session: holder, Key: "held", Lease: lid}}})
	if res := r.expireDue(11 * second); res.Left != nil || r.m.Meta().Deadlines != 2 {
		t.Errorf("what was in the way is gone, and left is %q, with %d deadlines", res.Left, r.m.Meta().Deadlines)
	}
}

// TestPreparedDeadline shows that the time to live of a prepared put counts from its Prepare, that what is resolved after its
// deadline is visible, and that it is due at once.
func TestPreparedDeadline(t *testing.T) {
	for _, last := range []bool{false, true} {
		r := founded(t)
		r.at(0, putFor("n", "1", time.Minute), putFor("gone", "x", time.Minute))
		ops := []api.Op{putFor("k", "v", time.Second), opAdd("n", 1), {Kind: api.OpDelete, Key: "gone"}, appendFor("list", "<1>", 2*time.Second)}
		tx := ref("c", 1, "g.1")
		var res Result
		if last {
			res = r.ok(CommitLast{Term: 1, Txn: tx, Then: ops, Now: 5 * second})
		} else {
			res = r.ok(Prepare{Term: 1, Group: "g.1", Txn: tx, Then: ops, Now: 5 * second})
			again := r.ok(Prepare{Term: 1, Group: "g.1", Txn: tx, Then: ops, Now: 7 * second})
			if again.Deadlines != nil || txnText(again.Txn) != txnText(res.Txn) || r.m.Now() != 5*second {
				t.Errorf("the repeated vote is %+v with the deadlines %d", again.Txn, again.Deadlines)
			}
			if e := r.m.Meta(); e.Deadlines != 2 {
				t.Errorf("an intent counts: %d deadlines", e.Deadlines)
			}
			r.ok(Tick{1, 8 * second})
			r.ok(Resolve{"g.1", tx.ID, ident.TxnCommitted})
		}
		if want := []uint64{6 * second, 60 * second, 0, 7 * second}; !slices.Equal(res.Deadlines, want) {
			t.Errorf("the vote has the deadlines %d, want %d", res.Deadlines, want)
		}
		r.wantDeadlines(map[api.Key]uint64{"k": 6 * second, "n": 60 * second, "list": 7 * second})
		if e := r.read("k"); string(e.Value) != "v" {
			t.Errorf("past its deadline it is %+v", e)
		}
		if res := r.expireDue(8 * second); res.Left != nil || r.read("k").Exists || r.read("list").Exists || !r.read("n").Exists {
			t.Errorf("left are %q", res.Left)
		}
	}
}

// TestDue shows the order of what is due, its bounds, and that a caller can pass over what cannot end yet.
func TestDue(t *testing.T) {
	r := founded(t)
	for i, k := range []api.Key{"c", "a", "b", "z", "y"} {
		r.at(0, putFor(k, "v", time.Second+time.Duration(i/3)*time.Second))
	}
	r.put("never", "v")
	keys := func(ds []Due) (out string) {
		for _, d := range ds {
			if e := r.read(d.Key); e.Version != d.Version || r.deadline(d.Key) != d.Deadline {
				t.Errorf("%+v is %+v", d, e)
			}
			out += string(d.Key)
		}
		return out
	}
	for _, c := range []struct {
		after Due
		now   uint64
		limit int
		want  string
	}{
		{Due{}, 999, 9, ""}, {Due{}, 1000, 9, "abc"}, {Due{}, 1 << 63, 9, "abcyz"}, {Due{}, 1 << 63, 4, "abcy"}, {Due{}, 1000, 0, ""},
		{Due{Key: "a", Deadline: 1000}, 2000, 9, "bcyz"}, {Due{Key: "c", Deadline: 1000}, 1999, 9, ""}, {Due{Key: "z", Deadline: 2000}, 9999, 9, ""},
	} {
		if got := keys(r.m.DueAfter(c.after, c.now, c.limit)); got != c.want {
			t.Errorf("after %+v up to %d, %d of them: %q, want %q", c.after, c.now, c.limit, got, c.want)
		}
	}
	_, page, err := r.m.ListAt(&api.ListRequest{Limit: 5})
	if want := []uint64{1000, 1000, 1000, 0, 2000}; err != nil || !slices.Equal(page.Deadlines, want) || page.Index != r.m.Meta().Counter {
		t.Errorf("the list has the deadlines %d of position %d (%v), want %d", page.Deadlines, page.Index, err, want)
	}
	if got := keys(r.m.Due(1<<63, 9)); got != "abcyz" {
		t.Error(got)
	}
}

// TestListStep shows that a step lists what the steps before it have left, with their versions, up to its limit and in order.
func TestListStep(t *testing.T) {
	r := founded(t)
	v := r.put("l/b", "v")
	w := r.put("l/d", "v")
	for _, k := range []api.Key{"k", "l", "l0", "m"} {
		r.put(k, "v")
	}
	res := r.ok(Write{Term: 1, Txn: api.Txn{Then: []api.Op{
		opList("l/", 9), putFor("l/a", "v", time.Second), putFor("l/c", "v", 0), putFor("l/e", "v", 0), putFor("l/b", "w", 0), opList("l/", 9),
		opList("l/", 3), {Kind: api.OpDelete, Key: "l/b"}, touchFor("l/d", time.Second), opList("l/", 3), opList("none/", 1),
	}}})
	x := api.Version{Epoch: 1, Index: res.Index}
	want := []string{
		fmt.Sprintf("[l/b@%v=, l/d@%v=]", v, w), fmt.Sprintf("[l/a@%v=, l/b@%v=, l/c@%v=, l/d@%v=, l/e@%v=]", x, x, x, w, x),
		fmt.Sprintf("[l/a@%v=, l/b@%v=, l/c@%v=]", x, x, x), fmt.Sprintf("[l/a@%v=, l/c@%v=, l/d@%v=]", x, x, w), "[]",
	}
	var got []string
	for _, l := range res.Txn.Lists {
		got = append(got, entriesText(l))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the lists are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if e := res.Txn.Entries[0]; e.Key != "l/" || e.Exists || !e.Version.IsZero() || len(res.Txn.Entries) != 11 {
		t.Errorf("the entry of a list is %+v", e)
	}
}

// TestListStepOnce shows that a repeated request is answered without its lists, and that one which only lists or touches is
// carried out in the log and is remembered.
func TestListStepOnce(t *testing.T) {
	r := founded(t)
	r.at(0, putFor("l/a", "v", time.Second))
	txn := api.Txn{ID: api.RequestID{Client: api.ClientID{1}, Seq: 1}, Then: []api.Op{touchFor("l/a", time.Minute), opList("l/", 9)}}
	first := r.ok(Write{Term: 1, Txn: txn, Epoch: r.epoch()})
	if len(first.Txn.Lists) != 1 || len(first.Txn.Lists[0]) != 1 || r.deadline("l/a") != 60*second {
		t.Errorf("the first answer is %+v", first.Txn)
	}
	r.ok(Tick{1, 30 * second})
	again := r.ok(Write{Term: 1, Txn: txn, Epoch: r.epoch()})
	if !again.Txn.Replayed || again.Txn.Lists != nil || again.Deadlines != nil || r.deadline("l/a") != 60*second {
		t.Errorf("the repeated answer is %+v, deadline %d", again.Txn, r.deadline("l/a"))
	}
	if txnText(&api.TxnResult{Committed: true, Entries: again.Txn.Entries}) != txnText(&api.TxnResult{Committed: true, Entries: first.Txn.Entries}) {
		t.Errorf("the answers have the entries %+v and %+v", first.Txn.Entries, again.Txn.Entries)
	}
}

// TestListStepIsLocked shows that exclusive intents under the prefix are in the way of a list, and shared ones are not.
func TestListStepIsLocked(t *testing.T) {
	r := founded(t)
	r.put("l/a", "v")
	w := Write{Term: 1, Txn: api.Txn{Then: []api.Op{opList("l/", 9)}}}
	r.ok(Prepare{Term: 1, Group: "g.1", Txn: ref("reader", 1, "g.2"), If: []api.Cond{{Kind: api.CondExists, Key: "l/a"}}})
	r.ok(w)
	r.ok(Prepare{Term: 1, Group: "g.1", Txn: ref("near", 1, "g.2"), Then: []api.Op{putFor("l0", "v", 0)}})
	r.ok(w)
	r.ok(Prepare{Term: 1, Group: "g.1", Txn: ref("writer", 1, "g.2"), Then: []api.Op{putFor("l/new", "v", 0)}})
	res := r.refused(w, RetryIntents)
	if len(res.Intents) != 1 || res.Intents[0].Key != "l/new" {
		t.Errorf("in the way are %+v", res.Intents)
	}
	if p := r.m.Preview(&w.Txn, r.epoch()); p.Err == nil || p.Err.Code != RetryIntents {
		t.Errorf("the preview is %+v", p)
	}
}

// TestListStepNeedsOneShard shows that a prefix whose keys could belong to several groups is refused, by a hint that says what to do.
func TestListStepNeedsOneShard(t *testing.T) {
	r := groupAt(t, NewestLevel, "g.1", Shard{Range: api.PrefixRange("a/"), Epoch: 1, Of: 1})
	r.ok(Write{Term: 1, Txn: api.Txn{Then: []api.Op{opList("a/", 1), opList("a/x", 1)}}})
	r.refused(Write{Term: 1, Txn: api.Txn{Then: []api.Op{opList("a", 1)}}}, api.CodeWrongGroup)
	s := Shard{Epoch: 1, Of: 4, Index: ident.ShardOf("a/b/", 4)}
	r = groupAt(t, NewestLevel, "g.1", s)
	r.ok(Write{Term: 1, Txn: api.Txn{Then: []api.Op{opList("a/b/", 1), opList("a/b/c", 1)}}})
	wide := api.Key("a/b")
	if !s.Owns(wide) {
		t.Fatal("a/b is of another shard")
	}
	res := r.refused(Write{Term: 1, Txn: api.Txn{Else: []api.Op{opList(wide, 1)}}}, api.CodeInvalid)
	if !strings.Contains(res.Err.Hint, "two whole segments") {
		t.Error(res.Err)
	}
	bounded := groupAt(t, NewestLevel, "g.1", Shard{Range: api.Range{Start: "a", End: "a/m"}, Epoch: 1, Of: 1})
	bounded.refused(Write{Term: 1, Txn: api.Txn{Then: []api.Op{opList("a/", 1)}}}, api.CodeInvalid)
}

// TestListStepIsBounded shows that the rows which lists pass count, with their values, as what the transaction reads.
func TestListStepIsBounded(t *testing.T) {
	r := founded(t)
	for i := range 9 {
		r.put(api.Key(fmt.Sprintf("l/%d", i)), strings.Repeat("x", api.MaxValueBytes))
	}
	r.refused(Write{Term: 1, Txn: api.Txn{Then: []api.Op{opList("l/", 9)}}}, api.CodeTooLarge)
	r.ok(Write{Term: 1, Txn: api.Txn{Then: []api.Op{opList("l/", 7)}}})
	r.refused(Write{Term: 1, Txn: api.Txn{Then: []api.Op{opList("l/", 7), opList("l/", 7)}}}, api.CodeTooLarge)

	r.m.limits.work = 20 * (listedBytes + 20)
	for i := range 10 {
		r.put(api.Key(fmt.Sprintf("s/%d", i)), "v")
	}
	r.ok(Write{Term: 1, Txn: api.Txn{Then: []api.Op{opList("s/", 10)}}})
	r.refused(Write{Term: 1, Txn: api.Txn{Then: []api.Op{opList("s/", 10), opList("s/", 10), opList("s/", 10)}}}, api.CodeTooLarge)
}

// TestLargeKeysAreBounded shows that the values of keys that a transaction touches count as what it reads, since their rows are
// written again, and that a look at large keys that are due ends before it has them all.
func TestLargeKeysAreBounded(t *testing.T) {
	r := founded(t)
	var touches []api.Op
	for i := range 10 {
		k := api.Key(fmt.Sprintf("k%d", i))
		r.at(0, putFor(k, strings.Repeat("x", api.MaxValueBytes), time.Second))
		touches = append(touches, touchFor(k, time.Minute))
	}
	r.refused(Write{Term: 1, Txn: api.Txn{Then: touches}}, api.CodeTooLarge)
	due := r.m.Due(1000, 20)
	if len(due) != 8 {
		t.Errorf("one look has %d keys of %d bytes", len(due), api.MaxValueBytes)
	}
	if rest := r.m.DueAfter(due[len(due)-1], 1000, 20); len(rest) != 2 || rest[1].Key != "k9" || rest[1].Version != r.read("k9").Version {
		t.Errorf("the next look has %+v", rest)
	}
	r.at(0, touches[:8]...)
	if d := r.deadline("k7"); d != 60_000 {
		t.Errorf("a touched key has the deadline %d", d)
	}
	r.put("small", "v")
	r.at(0, append(touches[:7:7], putFor("k9", strings.Repeat("y", api.MaxValueBytes), time.Second), touches[9])...)
}

// TestNoTouchAcrossGroups shows that a Prepare and a CommitLast refuse to touch and to list, by a hint that says what to do.
func TestNoTouchAcrossGroups(t *testing.T) {
	r := founded(t)
	for _, op := range []api.Op{touchFor("k", time.Second), opList("k/", 1)} {
		for _, c := range []Command{
			Prepare{Term: 1, Group: "g.1", Txn: ref("c", 1, "g.2"), Then: []api.Op{op}}, CommitLast{Term: 1, Txn: ref("c", 1, "g.1"), Then: []api.Op{op}},
		} {
			if res := r.refused(c, api.CodeInvalid); !strings.Contains(res.Err.Hint, "one group") {
				t.Error(res.Err)
			}
		}
	}
}

// TestDeadlinesNeedTheirLevel shows that below level 5 a step with a time to live, a touch and a list are refused, before they reach the
// log by a refusal that names the levels, and that commands have no Now there.
func TestDeadlinesNeedTheirLevel(t *testing.T) {
	for level := Level1; level < Level5; level++ {
		r := groupAt(t, level, "g.1", Shard{Epoch: 1, Of: 1})
		for _, op := range []api.Op{putFor("k", "v", time.Second), appendFor("k", "v", time.Second), touchFor("k", time.Second), opList("k/", 1)} {
			txn := api.Txn{Then: []api.Op{op}}
			r.refused(Write{Term: 1, Txn: txn}, api.CodeInvalid)
			p := r.m.Preview(&txn, r.epoch())
			if p.Err == nil || p.Err.Code != api.CodeUnavailable || !strings.Contains(p.Err.Hint, fmt.Sprintf("level %d", level)) {
				t.Errorf("level %d, kind %d: the preview is %+v", level, op.Kind, p)
			}
			if err := r.m.Takes(&txn); api.CodeOf(err) != api.CodeUnavailable {
				t.Errorf("level %d, kind %d: %v", level, op.Kind, err)
			}
		}
		for _, c := range []Command{Tick{1, 5}, Expire{Term: 1, Now: 5}} {
			r.refused(c, api.CodeInvalid)
		}
		r.ok(Write{Term: 1, Txn: putTxn("k", "v"), Now: 5})
		if r.m.Now() != 0 {
			t.Errorf("level %d has the time %d", level, r.m.Now())
		}
		r.ok(SetLevel{1, NewestLevel})
		r.at(5, putFor("k", "v", time.Second))
		r.wantDeadlines(map[api.Key]uint64{"k": 5 + second})
	}
}

// TestTimeIsBounded shows that a time over 53 bits is no time, so that deadlines do not overflow.
func TestTimeIsBounded(t *testing.T) {
	r := founded(t)
	for _, c := range []Command{Tick{1, maxTime + 1}, Expire{Term: 1, Now: maxTime + 1}, Write{Term: 1, Txn: putTxn("k", "v"), Now: maxTime + 1}} {
		r.refused(c, api.CodeInvalid)
	}
	r.at(maxTime, putFor("k", "v", api.MaxTTL))
	if want := maxTime + uint64(api.MaxTTL/time.Millisecond); r.deadline("k") != want || len(r.m.Due(want, 1)) != 1 || len(r.m.Due(want-1, 1)) != 0 {
		t.Errorf("the deadline is %d, want %d", r.deadline("k"), want)
	}
	if _, _, err := Decode(Encode(Expire{Keys: make([]KeyVersion, MaxExpire+1)}, NewestLevel)); err == nil {
		t.Error("an Expire of too many keys is read")
	}
}

// TestDeadlinesAreRestored shows that a snapshot carries the time and the deadlines, so that a restored machine goes on with them.
func TestDeadlinesAreRestored(t *testing.T) {
	r := founded(t)
	r.at(7*second, putFor("k", "v", time.Second), putFor("l", "v", time.Minute))
	r.ok(Prepare{Term: 1, Group: "g.1", Txn: ref("c", 1, "g.2"), Then: []api.Op{putFor("m", "v", time.Second)}, Now: 7 * second})
	to := newMachine(t)
	if err := to.Restore(bytes.NewReader(stream(t, r.m))); err != nil {
		t.Fatal(err)
	}
	same(t, r.m, to)
	if to.Now() != 7*second || len(to.Due(8*second, 9)) != 1 {
		t.Errorf("restored: time %d, due %+v", to.Now(), to.Due(8*second, 9))
	}
	r.m = to
	r.ok(Resolve{"g.1", ref("c", 1, "g.2").ID, ident.TxnCommitted})
	if res := r.expireDue(8 * second); res.Left != nil || r.read("k").Exists || r.read("m").Exists || !r.read("l").Exists {
		t.Errorf("left are %q", res.Left)
	}
}

// TestDeadlinesStayInTheirGroup shows that a range is given up only when what was due in it has ended in the log, so that no deadline
// is read by another group's time.
func TestDeadlinesStayInTheirGroup(t *testing.T) {
	from, to := groupAt(t, NewestLevel, "g.1", Shard{Epoch: 1, Of: 1}), groupAt(t, NewestLevel, "g.2")
	to.ok(Tick{1, 5 * second})
	from.at(100*second, putFor("m/k", "v", time.Second), putFor("stays", "v", time.Second))
	from.ok(Tick{1, 200 * second})
	cede := Cede{Term: 1, Range: api.PrefixRange("m/"), Epoch: 2, To: []api.GroupID{"g.2"}}
	from.refused(cede, api.CodeConflict)
	from.ok(Expire{Term: 1, Now: 200 * second, Keys: []KeyVersion{{"m/k", from.read("m/k").Version}}})
	receipt := from.ok(cede).Receipt
	to.ok(Adopt{*receipt, Shard{receipt.Range, 2, 0, 1}})
	if to.read("m/k").Exists || to.m.Now() != 5*second || to.m.Meta().Deadlines != 0 || from.m.Meta().Deadlines != 1 {
		t.Errorf("the taker has %+v at %d; deadlines are left: %d and %d", to.read("m/k"), to.m.Now(), from.m.Meta().Deadlines, to.m.Meta().Deadlines)
	}
	to.at(0, putFor("m/k", "v", time.Second))
	to.wantDeadlines(map[api.Key]uint64{"m/k": 6 * second})
}
