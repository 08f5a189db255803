package fsm

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// ref is the first attempt of a transaction, as old as its number.
func ref(client string, seq uint64, decider api.GroupID) ident.TxnRef {
	id := ident.TxnID{Seq: seq, Attempt: 1, Decider: decider}
	copy(id.Client[:], client)
	return ident.TxnRef{ID: id, Age: seq, Epoch: 1}
}

func prepareOf(r *rig, t ident.TxnRef, ops ...api.Op) Prepare {
	return Prepare{Term: r.term, Group: r.m.Meta().Group, Txn: t, Then: ops}
}

func opPut(k api.Key, v string) api.Op { return api.Op{Kind: api.OpPut, Key: k, Value: []byte(v)} }
func opGet(k api.Key) api.Op           { return api.Op{Kind: api.OpGet, Key: k} }
func opDelete(k api.Key) api.Op        { return api.Op{Kind: api.OpDelete, Key: k} }
func opAdd(k api.Key, n int64) api.Op  { return api.Op{Kind: api.OpAdd, Key: k, Delta: n} }

func exists(k api.Key) api.Cond { return api.Cond{Kind: api.CondExists, Key: k} }
func absent(k api.Key) api.Cond { return api.Cond{Kind: api.CondAbsent, Key: k} }

func commit(t ident.TxnRef, ps ...api.GroupID) Decide {
	return Decide{Txn: t, Outcome: ident.TxnCommitted, Participants: ps, Held: true}
}

func resolveTo(r *rig, t ident.TxnRef, o ident.TxnOutcome) Resolve {
	return Resolve{r.m.Meta().Group, t.ID, o}
}

// TestPrepare checks that what is prepared is invisible until it is resolved, and that then all of it is at the version of its
// prepare.
func TestPrepare(t *testing.T) {
	r := founded(t)
	r.put("a", "old")
	r.put("n", "40")
	r.put("gone", "x")
	tx := ref("c", 1, "g.2")
	p := prepareOf(r, tx, opGet("a"), opPut("a", "new"), opGet("a"), opAdd("n", 2), opDelete("gone"), opDelete("never"), opGet("read"))
	p.If = []api.Cond{exists("a"), absent("tested")}
	vote := r.ok(p)
	at := api.Version{Epoch: 1, Index: vote.Index}
	want := fmt.Sprintf("a@1.2=old, a@%[1]v=, a@%[1]v=new, n@%[1]v=42, gone@%[1]v!, never@%[1]v!, read@0.0!", at)
	if got := entriesText(vote.Txn.Entries); got != "["+want+"]" || vote.Txn.Version != at || !vote.Txn.Committed {
		t.Errorf("the vote is %+v\nwant %s", vote.Txn, want)
	}
	r.put("elsewhere", "meanwhile")
	if again := r.ok(p); !reflect.DeepEqual(again.Txn, vote.Txn) {
		t.Errorf("the vote again is %+v, want %+v", again.Txn, vote.Txn)
	}
	other := p
	other.Then = p.Then[:1]
	r.refused(other, api.CodeConflict)
	for _, k := range []api.Key{"a", "n", "gone", "never"} {
		_, _, err := r.m.Read([]api.Key{"elsewhere", k})
		in, _ := errors.AsType[*IntentsError](err)
		if in == nil || api.CodeOf(err) != RetryIntents || len(in.Intents) != 1 {
			t.Fatalf("read of %s: %v", k, err)
		}
		if x := in.Intents[0]; x.Key != k || !x.Exclusive || x.Txn != tx {
			t.Errorf("read of %s met %+v", k, x)
		}
	}
	r.read("read")
	r.read("tested")
	r.ok(resolveTo(r, tx, ident.TxnCommitted))
	var got []string
	for _, k := range []api.Key{"a", "n", "gone", "never"} {
		got = append(got, entriesText([]api.Entry{r.read(k)}))
	}
	if text := strings.Join(got, " "); text != fmt.Sprintf("[a@%[1]v=new] [n@%[1]v=42] [gone@%[1]v!] [never@%[1]v!]", at) {
		t.Errorf("resolved to %s", text)
	}
	if m := r.m.Meta(); m.Intents != 0 || m.Prepared != 0 || m.Finished != 1 {
		t.Errorf("left behind: %+v", m)
	}
	if res := r.refused(p, Finished); res.Decision.Outcome != ident.TxnCommitted {
		t.Errorf("a late prepare gets %+v", res.Decision)
	}
	r.ok(resolveTo(r, tx, ident.TxnCommitted))
	r.refused(resolveTo(r, tx, ident.TxnAborted), api.CodeConflict)
}

// TestPrepareAborted: nothing is left of what was not to be, and it cannot come again.
func TestPrepareAborted(t *testing.T) {
	r := founded(t)
	r.put("a", "old")
	before := r.read("a")
	tx, early := ref("c", 1, "g.2"), ref("c", 2, "g.2")
	r.ok(prepareOf(r, tx, opPut("a", "new"), opDelete("b")))
	r.ok(resolveTo(r, tx, ident.TxnAborted))
	if now := r.read("a"); !reflect.DeepEqual(now, before) || r.read("b").Version != (api.Version{}) {
		t.Errorf("the aborted transaction left %+v", now)
	}
	r.refused(prepareOf(r, tx, opPut("a", "new")), Finished)
	// The word that it was aborted may come before it.
	r.ok(resolveTo(r, early, ident.TxnAborted))
	r.refused(prepareOf(r, early, opPut("a", "new")), Finished)
	// Another attempt is another transaction.
	tx.ID.Attempt = 2
	r.ok(prepareOf(r, tx, opPut("a", "new")))
}

// TestPrepareRefused is the table of votes that are no.
func TestPrepareRefused(t *testing.T) {
	r := group(t, "g.1", Shard{api.Range{End: "x"}, 1, 0, 1})
	sid := r.open("n")
	r.put("word", "hello")
	r.put("leased", "v")
	lid := r.grant(sid, "leased")
	holder, reader := ref("h", 1, "g.3"), ref("h", 2, "g.3")
	r.ok(prepareOf(r, holder, opPut("held", "v")))
	r.ok(prepareOf(r, reader, opGet("shared")))
	old := ref("old", 3, "g.2")
	r.ok(Forget{old.ID.Client, 4})
	tx := ref("c", 1, "g.2")
	part := func(ops ...api.Op) Prepare { return prepareOf(r, tx, ops...) }
	with := func(p Prepare, change func(*Prepare)) Prepare { change(&p); return p }
	ok := opPut("free", "v")
	for what, c := range map[string]struct {
		p    Prepare
		code api.Code
	}{
		"nothing to do":            {part(), api.CodeInvalid},
		"another group":            {with(part(ok), func(p *Prepare) { p.Group = "g.2" }), api.CodeWrongGroup},
		"no client":                {with(part(ok), func(p *Prepare) { p.Txn.ID.Client = api.ClientID{} }), api.CodeInvalid},
		"no attempt":               {with(part(ok), func(p *Prepare) { p.Txn.ID.Attempt = 0 }), api.CodeInvalid},
		"no decision group":        {with(part(ok), func(p *Prepare) { p.Txn.ID.Decider = "" }), api.CodeInvalid},
		"a claim of no anchor":     {with(part(ok), func(p *Prepare) { p.Claim = &Claim{} }), api.CodeInvalid},
		"another term":             {with(part(ok), func(p *Prepare) { p.Term++ }), api.CodeNotLeader},
		"a key of another group":   {part(ok, opGet("y")), api.CodeWrongGroup},
		"a test elsewhere":         {with(part(ok), func(p *Prepare) { p.If = []api.Cond{exists("y")} }), api.CodeWrongGroup},
		"a claim of no epoch":      {with(part(ok), func(p *Prepare) { p.Claim, p.Txn.Anchor, p.Txn.Epoch = &Claim{}, "a", 0 }), api.CodeInvalid},
		"an anchor elsewhere":      {with(part(ok), func(p *Prepare) { p.Claim, p.Txn.Anchor = &Claim{}, "y" }), api.CodeWrongGroup},
		"write of what is written": {part(ok, opPut("held", "w")), RetryIntents},
		"read of what is written":  {part(ok, opGet("held")), RetryIntents},
		"test of what is written":  {with(part(ok), func(p *Prepare) { p.If = []api.Cond{absent("held")} }), RetryIntents},
		"write of what is read":    {part(ok, opDelete("shared")), RetryIntents},
		"a condition fails":        {with(part(ok), func(p *Prepare) { p.If = []api.Cond{exists("nothing")} }), api.CodePreconditionFailed},
		"an old version":           {with(part(ok), func(p *Prepare) { p.If = []api.Cond{{Kind: api.CondVersion, Key: "word"}} }), api.CodePreconditionFailed},
		"no number":                {part(ok, opAdd("word", 1)), api.CodePreconditionFailed},
		"a lease":                  {part(ok, opPut("leased", "w")), RetryLeases},
		"a later lease":            {with(part(ok, opPut("leased", "w")), func(p *Prepare) { p.Cleared = []ident.DroppedLease{{Session: sid, Key: "leased", Lease: lid - 1}} }), RetryLeases},
		"acknowledged":             {with(part(ok), func(p *Prepare) { p.Txn = old }), Finished},
		"acknowledged just now":    {with(part(ok), func(p *Prepare) { p.AckedBelow = 2 }), Finished},
	} {
		res := r.refused(c.p, c.code)
		if (c.code == RetryIntents) != (len(res.Intents) > 0) || (c.code == RetryLeases) != (len(res.Holders) > 0) {
			t.Errorf("%s: intents %+v, holders %+v", what, res.Intents, res.Holders)
		}
		for _, x := range res.Intents {
			if x.Txn != holder && x.Txn != reader || x.Exclusive != (x.Txn == holder) {
				t.Errorf("%s: in the way is %+v", what, x)
			}
		}
	}
	if e := r.apply(with(part(ok), func(p *Prepare) { p.If = []api.Cond{{Kind: api.CondVersion, Key: "word"}} })).Err; e.Key != "word" || e.Version != r.read("word").Version {
		t.Errorf("a failed condition returns %+v", e)
	}
	p := part(ok, opPut("leased", "w"), opGet("shared"))
	p.Cleared = []ident.DroppedLease{{Session: sid, Key: "leased", Lease: lid}}
	r.ok(p)
	if n := r.holders("leased"); n != 0 {
		t.Errorf("%d leases are left", n)
	}
	if in := r.m.Intents([]api.Key{"shared"}); len(in) != 2 {
		t.Errorf("the shared key has %+v", in)
	}
}

// TestPrepareKills: a session that did not answer dies by a prepare as by a write, as a whole.
func TestPrepareKills(t *testing.T) {
	r := founded(t)
	sid := r.open("n")
	r.grant(sid, "a", "b")
	p := prepareOf(r, ref("c", 1, "g.2"), opPut("a", "v"))
	p.Killed = []ident.SessionID{sid}
	if res := r.ok(p); res.Effect.Kind != EffectKilled || r.holders("b") != 0 {
		t.Errorf("%+v, %d holders of b", res.Effect, r.holders("b"))
	}
}

// TestUnderIntent checks that a command that meets a transaction's intents is refused, and that the refusal names the
// transaction.
func TestUnderIntent(t *testing.T) {
	r := founded(t)
	sid := r.open("n")
	writer, reader := ref("w", 1, "g.2"), ref("r", 2, "g.2")
	r.put("s", "v")
	r.ok(prepareOf(r, writer, opPut("x", "v")))
	r.ok(prepareOf(r, reader, opGet("s")))
	txn := func(conds []api.Cond, ops ...api.Op) Write {
		return Write{Term: r.term, Txn: api.Txn{If: conds, Then: ops}}
	}
	for what, c := range map[string]struct {
		c  Command
		by ident.TxnRef
	}{
		"put x":         {txn(nil, opPut("x", "w")), writer},
		"delete x":      {txn(nil, opDelete("x")), writer},
		"get x":         {txn(nil, opPut("y", "w"), opGet("x")), writer},
		"test x":        {txn([]api.Cond{absent("x")}, opPut("y", "w")), writer},
		"test and fail": {txn([]api.Cond{exists("x")}, opPut("y", "w")), writer},
		"put s":         {txn(nil, opPut("s", "w")), reader},
		"grant x":       {Grant{r.term, []GrantItem{{Session: sid, Keys: []api.Key{"y", "x"}}}}, writer},
		"cede x":        {Cede{Term: r.term, Range: api.PrefixRange("x"), Epoch: 2, To: []api.GroupID{"g.2"}}, writer},
	} {
		if res := r.refused(c.c, RetryIntents); len(res.Intents) != 1 || res.Intents[0].Txn != c.by {
			t.Errorf("%s met %+v", what, res.Intents)
		}
		if w, ok := c.c.(Write); ok {
			if p := r.m.Preview(&w.Txn, w.Epoch); p.Err == nil || p.Err.Code != RetryIntents || len(p.Intents) != 1 {
				t.Errorf("%s was foretold %+v", what, p)
			}
		}
	}
	r.ok(txn([]api.Cond{exists("s")}, opGet("s"), opPut("y", "w")))
	r.grant(sid, "s", "y") // readers do not disturb each other
	r.ok(resolveTo(r, writer, ident.TxnAborted))
	r.ok(resolveTo(r, reader, ident.TxnCommitted))
	r.put("x", "w")
	r.grant(sid, "x")
}

// TestListUnderIntent checks that a page shows nothing of a part of the range that a transaction is changing.
func TestListUnderIntent(t *testing.T) {
	r := founded(t)
	for _, k := range []api.Key{"a", "b", "c", "d", "f"} {
		r.put(k, "v")
	}
	r.ok(prepareOf(r, ref("w", 1, "g.2"), opPut("e", "new"), opDelete("c")))
	r.ok(prepareOf(r, ref("r", 2, "g.2"), opGet("a")))
	for _, c := range []struct {
		q    api.ListRequest
		want string // the keys that are in the way
	}{
		{api.ListRequest{}, "ce"},
		{api.ListRequest{Limit: 2}, ""},
		{api.ListRequest{Limit: 3}, "c"},
		{api.ListRequest{Range: api.Range{Start: "d"}, Limit: 1}, ""},
		{api.ListRequest{Range: api.Range{Start: "d"}}, "e"},
		{api.ListRequest{Range: api.Range{Start: "d", End: "e"}}, ""},
		{api.ListRequest{Range: api.Range{Start: "e", End: "f"}, KeysOnly: true}, "e"},
		{api.ListRequest{Reverse: true, Limit: 1}, ""},
		{api.ListRequest{Reverse: true, Limit: 2}, "e"},
		{api.ListRequest{Range: api.Range{End: "c"}, Reverse: true}, ""},
	} {
		_, err := r.m.List(&c.q)
		got := ""
		if in, ok := errors.AsType[*IntentsError](err); ok {
			for _, x := range in.Intents {
				got += string(x.Key)
			}
		}
		if got != c.want || (err != nil) != (c.want != "") {
			t.Errorf("%+v met %q (%v), want %q", c.q, got, err, c.want)
		}
	}
}

// TestClaim: one attempt of a request at a time, and none after a result.
func TestClaim(t *testing.T) {
	r := founded(t)
	txn := api.Txn{ID: api.RequestID{Client: api.ClientID{'c'}, Seq: 4, AckedBelow: 3}, Then: []api.Op{opPut("a", "1"), opPut("z", "2")}}
	first := ref("c", 4, "g.2")
	first.Anchor = "a"
	claim := func(tx ident.TxnRef, after ident.TxnID) Prepare {
		p := prepareOf(r, tx, opPut("a", "1"))
		p.AckedBelow, p.Claim = 3, &Claim{Fingerprint(&txn), after}
		return p
	}
	r.ok(claim(first, ident.TxnID{}))
	r.ok(claim(first, ident.TxnID{}))
	rec, ok := r.m.Stored(txn.ID.Client, 4)
	if !ok || rec.Attempt != 1 || rec.Decider != "g.2" || rec.Anchor != "a" {
		t.Fatalf("stored: %+v", rec)
	}
	second := first
	second.ID.Attempt, second.ID.Decider = 2, "g.3"
	stands := func(c Command) {
		t.Helper()
		if res := r.refused(c, Attempted); res.Stored == nil || res.Stored.attempt() != first.ID {
			t.Errorf("%+v met %+v", c, res.Stored)
		}
	}
	stands(claim(second, ident.TxnID{}))
	stands(claim(second, ident.TxnID{Client: first.ID.Client, Seq: 4, Attempt: 1, Decider: "g.9"}))
	stands(Write{Term: r.term, Txn: txn})
	if p := r.m.Preview(&txn, ident.DedupEpoch{}); p.Err == nil || p.Err.Code != Attempted || p.Stored == nil || p.Stored.Decider != "g.2" {
		t.Errorf("foretold: %+v", p)
	}
	other := claim(second, first.ID)
	other.Claim.Body[0]++
	r.refused(other, api.CodeConflict)
	r.ok(resolveTo(r, first, ident.TxnAborted))
	stands(claim(second, ident.TxnID{})) // resolved is not enough: the coordinator must say that it knows
	r.ok(claim(second, first.ID))
	if rec, _ = r.m.Stored(txn.ID.Client, 4); rec.attempt() != second.ID || r.m.Meta().Records != 1 {
		t.Errorf("stored: %+v", rec)
	}
	back := first
	back.ID.Attempt = 1
	back.ID.Decider = "g.4"
	if res := r.refused(claim(back, second.ID), Attempted); res.Stored.attempt() != second.ID {
		t.Errorf("%+v", res.Stored)
	}
	r.ok(resolveTo(r, second, ident.TxnCommitted))
	r.ok(Forget{txn.ID.Client, 5})
	if _, ok := r.m.Stored(txn.ID.Client, 4); ok || r.m.Meta().Records != 0 {
		t.Error("the record outlived its client's word")
	}
	r.refused(claim(ref("c", 4, "g.5"), ident.TxnID{}), api.CodeInvalid) // no anchor
	third := second
	third.ID.Attempt = 3
	r.refused(claim(third, second.ID), Finished)
}

// TestClaimOfResult: a request whose result stands is not tried again in another way.
func TestClaimOfResult(t *testing.T) {
	r := founded(t)
	txn := api.Txn{ID: api.RequestID{Client: api.ClientID{'c'}}, Then: []api.Op{opAdd("a", 7)}}
	was := r.ok(Write{Term: r.term, Txn: txn}).Txn
	tx := ref("c", 0, "g.2")
	tx.Anchor = "a"
	p := prepareOf(r, tx)
	p.Claim = &Claim{Body: Fingerprint(&txn)}
	res := r.refused(p, Attempted)
	if res.Stored == nil || res.Stored.Decider != "" {
		t.Fatalf("%+v", res.Stored)
	}
	if got := res.Stored.Replay(&txn); !got.Replayed || txnText(got) != txnText(was)+" replayed" {
		t.Errorf("replayed as %s, was %s", txnText(got), txnText(was))
	}
}

// TestClaimAlone: an anchor that is only read under a lease is claimed without a lock.
func TestClaimAlone(t *testing.T) {
	r := founded(t)
	sid := r.open("n")
	lid := r.grant(sid, "a")
	tx := ref("c", 1, "g.2")
	tx.Anchor = "a"
	p := prepareOf(r, tx)
	p.Claim = &Claim{Body: [16]byte{1}}
	r.ok(p)
	if m := r.m.Meta(); m.Intents != 0 || m.Prepared != 1 || m.Records != 1 {
		t.Errorf("%+v", m)
	}
	if hs := r.m.Holders([]api.Key{"a"}); len(hs) != 1 || hs[0].Lease != lid {
		t.Errorf("the lease is %+v", hs)
	}
	r.ok(resolveTo(r, tx, ident.TxnCommitted))
}

// TestTxnLimits: every table is bounded, and the refusal names the bound.
func TestTxnLimits(t *testing.T) {
	r := founded(t)
	r.m.limits.prepared, r.m.limits.finished, r.m.limits.decisions, r.m.limits.readers = 2, 3, 2, 1
	tx := func(n uint64) ident.TxnRef { return ref("c", n, "g.1") }
	full := func(c Command, bound string) {
		t.Helper()
		if res := r.refused(c, api.CodeUnavailable); !strings.Contains(res.Err.Error(), bound) {
			t.Errorf("%v does not name %q", res.Err, bound)
		}
	}
	r.ok(prepareOf(r, tx(1), opGet("s")))
	full(prepareOf(r, tx(2), opGet("s")), "limit")
	r.ok(prepareOf(r, tx(2), opGet("t")))
	full(prepareOf(r, tx(3), opGet("u")), "2")
	r.ok(resolveTo(r, tx(1), ident.TxnCommitted))
	r.ok(prepareOf(r, tx(3), opGet("u")))
	r.ok(resolveTo(r, tx(2), ident.TxnCommitted))
	r.ok(resolveTo(r, tx(3), ident.TxnCommitted))
	full(prepareOf(r, tx(4), opGet("u")), "3")
	r.ok(resolveTo(r, tx(4), ident.TxnAborted)) // needs no note
	if m := r.m.Meta(); m.Finished != 3 {
		t.Errorf("%+v", m)
	}
	r.ok(Push{tx(5)})
	r.ok(commit(tx(6)))
	full(Push{tx(7)}, "2")
	full(commit(tx(7)), "2")
	full(CommitLast{Term: r.term, Txn: tx(7), Then: []api.Op{opPut("k", "v")}}, "2")
	r.ok(Push{tx(6)})
	r.ok(Forget{tx(1).ID.Client, 7})
	r.ok(commit(tx(7)))
	r.ok(prepareOf(r, tx(8), opGet("u")))
}

// TestClaimMoves checks that what is stored about a request moves with its anchor, to the group that its next attempt will ask.
func TestClaimMoves(t *testing.T) {
	r := founded(t)
	tx := ref("c", 4, "g.7")
	tx.Anchor = "m/a"
	p := prepareOf(r, tx, opGet("m/a"))
	p.Claim = &Claim{Body: [16]byte{1}}
	r.ok(p)
	cede := Cede{Term: r.term, Range: api.PrefixRange("m/"), Epoch: 2, To: []api.GroupID{"g.2"}}
	r.refused(cede, RetryIntents)
	r.ok(resolveTo(r, tx, ident.TxnAborted))
	receipt := r.ok(cede).Receipt
	to := group(t, "g.2")
	to.ok(Adopt{*receipt, Shard{cede.Range, 2, 0, 1}})
	next := tx
	next.ID.Attempt, next.ID.Decider = 2, "g.8"
	p.Group, p.Txn = "g.2", next
	if res := to.refused(p, Attempted); res.Stored.attempt() != tx.ID {
		t.Errorf("%+v", res.Stored)
	}
	p.Claim.After = tx.ID
	to.ok(p)
}
