package fsm

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestDecide checks that the first decision is final, and that it is stored until it cannot be asked for any more.
func TestDecide(t *testing.T) {
	r := founded(t)
	a, b := ref("c", 1, "g.1"), ref("c", 2, "g.1")
	d := commit(a, "g.3", "g.2", "g.3")
	d.Outcomes = []Outcome{{Version: api.Version{Epoch: 1, Index: 9}, Exists: true, Value: []byte("7")}}
	first := r.ok(d)
	if x := first.Decision; x.Outcome != ident.TxnCommitted || !slices.Equal(x.Unresolved, []api.GroupID{"g.2", "g.3"}) || *first.Effect.Decided != a.ID {
		t.Errorf("%+v, %+v", x, first.Effect)
	}
	for what, c := range map[string]Command{
		"the same again": d, "an abort": Decide{Txn: a, Outcome: ident.TxnAborted}, "a push": Push{a}, "another commit": commit(a, "g.9"),
	} {
		if res := r.ok(c); !reflect.DeepEqual(res.Decision, first.Decision) || res.Effect.Decided != nil {
			t.Errorf("%s gets %+v", what, res.Decision)
		}
	}
	if res := r.ok(Push{b}); res.Decision.Outcome != ident.TxnAborted || res.Decision.Expired {
		t.Errorf("%+v", res.Decision)
	}
	if res := r.ok(commit(b, "g.2")); res.Decision.Outcome != ident.TxnAborted || res.Effect.Decided != nil {
		t.Errorf("a commit after a push: %+v", res.Decision)
	}
	elsewhere := ref("c", 3, "g.2")
	r.refused(commit(elsewhere, "g.2"), api.CodeWrongGroup)
	r.refused(Push{elsewhere}, api.CodeWrongGroup)
	r.refused(Resolved{elsewhere.ID, "g.1"}, api.CodeWrongGroup)
	// A participant that has resolved must not do so again if an intent turns up.
	r.ok(Resolved{a.ID, "g.2"})
	now, _ := r.m.Decided(a.ID)
	if now.At("g.2") != ident.TxnAborted || now.At("g.3") != ident.TxnCommitted || now.At("g.9") != ident.TxnAborted {
		t.Errorf("after one has resolved: %+v", now)
	}
	if us := r.m.Unresolved(ident.TxnID{}, 9); len(us) != 1 || us[0].Txn != a.ID || !slices.Equal(us[0].Unresolved, []api.GroupID{"g.3"}) {
		t.Errorf("unresolved: %+v", us)
	}
	// Below the watermark what was aborted goes at once, what was committed with the last that resolves.
	r.ok(Forget{a.ID.Client, 3})
	if m := r.m.Meta(); m.Decisions != 1 {
		t.Errorf("%d decisions are left", m.Decisions)
	}
	r.ok(Resolved{a.ID, "g.3"})
	r.ok(Resolved{a.ID, "g.3"})
	if m := r.m.Meta(); m.Decisions != 0 || m.Unresolved != 0 {
		t.Errorf("%d decisions are left, %d unresolved", m.Decisions, m.Unresolved)
	}
	for _, tx := range []ident.TxnRef{a, b} {
		for _, c := range []Command{commit(tx, "g.2"), Push{tx}} {
			if res := r.ok(c); res.Decision.Outcome != ident.TxnAborted || !res.Decision.Expired || r.m.Meta().Decisions != 0 {
				t.Errorf("below the watermark: %+v", res.Decision)
			}
		}
	}
}

// TestDecideEpochs checks that what an idle client leaves ends with epochs, and so late that no commit of that time is accepted.
// What was aborted of a request with an opaque id ends earlier.
func TestDecideEpochs(t *testing.T) {
	r := founded(t)
	opaque, numbered, owing, done := ref("o", 0, "g.1"), ref("n", 5, "g.1"), ref("w", 0, "g.1"), ref("d", 0, "g.1")
	r.ok(Push{opaque})
	r.ok(Decide{Txn: numbered, AckedBelow: 5, Outcome: ident.TxnAborted})
	r.ok(commit(owing, "g.2"))
	r.ok(commit(done))
	r.ok(Resolve{"g.1", ref("a", 0, "g.2").ID, ident.TxnAborted})
	r.ok(Resolve{"g.1", ref("c", 0, "g.2").ID, ident.TxnCommitted})
	left := func(when string, decisions, finished int) {
		t.Helper()
		for range 9 {
			r.ok(ExpireDedup{r.term, 1}) // a row at a time
		}
		if m := r.m.Meta(); m.Decisions != decisions || m.Finished != finished || m.Unresolved != 1 {
			t.Fatalf("%s: %+v", when, m)
		}
	}
	r.advance(AttemptEpochs)
	left("early", 4, 2)
	r.advance(1)
	left("when aborts have gone", 3, 1)
	r.advance(DedupEpochs - AttemptEpochs - 1)
	left("on the last day", 3, 1)
	r.advance(1)
	left("late", 1, 0)
	for _, tx := range []ident.TxnRef{opaque, numbered, done} {
		if res := r.ok(commit(tx, "g.2")); !res.Decision.Expired || res.Decision.Outcome != ident.TxnAborted {
			t.Errorf("a commit of an old epoch: %+v", res.Decision)
		}
	}
	late := prepareOf(r, ref("f", 0, "g.2"), opPut("k", "v"))
	late.Epoch = 1
	r.refused(late, Finished)
	last := CommitLast{Term: r.term, Txn: opaque, Then: []api.Op{opPut("k", "v")}}
	if res := r.refused(last, Finished); !res.Decision.Expired {
		t.Errorf("%+v", res.Decision)
	}
}

// TestLateCommit checks that once an attempt was reported as aborted, no commit of it is accepted, in a Decide or in a
// CommitLast, whether or not the record is gone. If there is a record, the answer is what the record says.
func TestLateCommit(t *testing.T) {
	for _, seq := range []uint64{0, 3} {
		r := founded(t)
		pushed, unheard, committed := ref("t", seq, "g.1"), ref("u", seq, "g.1"), ref("c", seq, "g.1")
		r.ok(Push{pushed})
		r.ok(commit(committed))
		for range DedupEpochs {
			r.advance(1)
			r.ok(ExpireDedup{r.term, 0})
			if d := r.ok(commit(pushed)).Decision; d.Outcome != ident.TxnAborted {
				t.Fatalf("seq %d: Decide1: aborted, and then %+v", seq, d)
			}
			if d := r.ok(Push{pushed}).Decision; d.Outcome != ident.TxnAborted || d.Expired {
				t.Fatalf("seq %d: a repetition gets %+v", seq, d)
			}
			if d := r.ok(Push{committed}).Decision; d.Outcome != ident.TxnCommitted {
				t.Fatalf("seq %d: Decide1: committed, and then %+v", seq, d)
			}
			last := CommitLast{Term: r.term, Txn: pushed, Then: []api.Op{opPut("k", "v")}}
			if d := r.refused(last, Finished).Decision; d.Outcome != ident.TxnAborted {
				t.Fatalf("seq %d: CommitLast: %+v", seq, d)
			}
		}
		if d := r.ok(commit(unheard)).Decision; d.Outcome != ident.TxnAborted {
			t.Errorf("seq %d: a commit a day late: %+v", seq, d)
		}
	}
	r := founded(t)
	unknown := ref("e", 0, "g.1")
	unknown.Epoch = 0
	if d := r.ok(commit(unknown)).Decision; d.Outcome != ident.TxnAborted {
		t.Errorf("a commit of an opaque id, of no epoch: %+v", d)
	}
}

// TestDecisionNeverChanges checks that a client's row stays as long as a commit that was refused as too old may come again.
func TestDecisionNeverChanges(t *testing.T) {
	r := founded(t)
	tx := ref("c", 1, "g.1")
	r.ok(Forget{tx.ID.Client, 2})
	advance := func(n int) {
		for range n {
			r.ok(AdvanceDedupEpoch{r.term})
		}
		r.ok(ExpireDedup{r.term, 0})
	}
	advance(20)
	tx.Epoch = 21
	if res := r.ok(Push{tx}); res.Decision.Outcome != ident.TxnAborted {
		t.Fatalf("%+v", res.Decision)
	}
	advance(20) // the row would have gone, the commit's epoch would still do
	if res := r.ok(commit(tx, "g.2")); res.Decision.Outcome != ident.TxnAborted {
		t.Errorf("Decide1: aborted first, then %+v", res.Decision)
	}
}

// TestFinishedBelowWatermark: below the watermark no note is needed, and a transaction that has prepared stays.
func TestFinishedBelowWatermark(t *testing.T) {
	r := founded(t)
	a, b := ref("c", 1, "g.2"), ref("c", 2, "g.2")
	r.ok(prepareOf(r, a, opPut("a", "v")))
	r.ok(prepareOf(r, b, opPut("b", "v")))
	r.ok(resolveTo(r, b, ident.TxnCommitted))
	r.ok(Forget{a.ID.Client, 3})
	if m := r.m.Meta(); m.Prepared != 1 || m.Finished != 0 || m.Intents != 1 {
		t.Fatalf("%+v", m)
	}
	if ps := r.m.Prepared(ident.TxnID{}, 9); len(ps) != 1 || ps[0].Txn != a || !slices.Equal(ps[0].Written, []api.Key{"a"}) {
		t.Errorf("prepared: %+v", ps)
	}
	r.ok(resolveTo(r, a, ident.TxnCommitted))
	if m := r.m.Meta(); m.Finished != 0 || string(r.read("a").Value) != "v" {
		t.Errorf("%+v, a = %q", m, r.read("a").Value)
	}
	r.refused(prepareOf(r, a, opPut("a", "again")), Finished)
	r.refused(prepareOf(r, b, opPut("b", "again")), Finished)
}

// TestCommitLast: prepare, decide and resolve in one, or nothing of it.
func TestCommitLast(t *testing.T) {
	r := founded(t)
	sid := r.open("n")
	r.put("n", "1")
	lid := r.grant(sid, "n")
	tx := ref("c", 1, "g.1")
	tx.Anchor = "n"
	c := CommitLast{
		Term: r.term, Txn: tx, If: []api.Cond{exists("n")}, Then: []api.Op{opGet("n"), opAdd("n", 1)}, Participants: []api.GroupID{"g.2"},
		Held: true, Outcomes: []Outcome{{}, {Version: api.Version{Epoch: 9, Index: 9}, Exists: true}, {}}, Places: []uint32{0, 2},
		Claim: &Claim{Body: [16]byte{5}},
	}
	with := func(change func(*CommitLast)) CommitLast { c := c; change(&c); return c }
	r.refused(c, RetryLeases)
	c.Cleared = []ident.DroppedLease{{Session: sid, Key: "n", Lease: lid}}
	r.refused(with(func(c *CommitLast) { c.Term++ }), api.CodeNotLeader)
	r.refused(with(func(c *CommitLast) { c.If = []api.Cond{absent("n")} }), api.CodePreconditionFailed)
	r.refused(with(func(c *CommitLast) { c.Txn.ID.Decider = "g.2" }), api.CodeWrongGroup)
	r.refused(with(func(c *CommitLast) { c.Participants = []api.GroupID{"g.1"} }), api.CodeInvalid)
	r.refused(with(func(c *CommitLast) { c.Places = []uint32{0, 3} }), api.CodeInvalid)
	r.refused(with(func(c *CommitLast) { c.Places = []uint32{2, 0} }), api.CodeInvalid)
	r.refused(with(func(c *CommitLast) { c.Places = nil }), api.CodeInvalid)
	other := ref("o", 1, "g.9")
	r.ok(prepareOf(r, other, opGet("n")))
	r.refused(c, RetryIntents)
	r.ok(resolveTo(r, other, ident.TxnCommitted))
	res := r.ok(c)
	at := api.Version{Epoch: 1, Index: res.Index}
	if got := entriesText(res.Txn.Entries); got != fmt.Sprintf("[n@1.3=1, n@%v=2]", at) || r.read("n").Version != at {
		t.Errorf("%s", got)
	}
	d := res.Decision
	if d.Outcome != ident.TxnCommitted || !d.Held || d.At("g.2") != ident.TxnCommitted || *res.Effect.Decided != tx.ID {
		t.Errorf("%+v", d)
	}
	txn := api.Txn{Then: []api.Op{opGet("n"), opPut("q", "v"), opAdd("n", 1)}}
	if got := txnText(d.Replay(&txn)); got != fmt.Sprintf("committed=true version=0.0 entries [n@1.3=1, q@9.9=, n@%v=2] replayed", at) {
		t.Errorf("replayed as %s", got)
	}
	if m := r.m.Meta(); m.Intents != 0 || m.Prepared != 0 || m.Decisions != 1 || m.Unresolved != 1 || m.Records != 1 {
		t.Errorf("%+v", m)
	}
	again := r.ok(c)
	if !reflect.DeepEqual(again.Decision, d) || again.Txn != nil || string(r.read("n").Value) != "2" {
		t.Errorf("again: %+v, n = %q", again.Decision, r.read("n").Value)
	}
	late := with(func(c *CommitLast) { c.Txn.ID.Attempt, c.Claim = 7, nil })
	r.ok(Push{late.Txn})
	if res := r.refused(late, Finished); res.Decision.Outcome != ident.TxnAborted {
		t.Errorf("%+v", res.Decision)
	}
	r.ok(Forget{tx.ID.Client, 2})
	if res := r.refused(late, Finished); !res.Decision.Expired {
		t.Errorf("%+v", res.Decision)
	}
}

// TestForgottenCommit checks a repetition that comes when the decision group has dropped a commit and the anchor's group has not
// dropped the attempt. The answer must not be that it was aborted: it would take effect twice.
func TestForgottenCommit(t *testing.T) {
	anchors, decides := founded(t), group(t, "g.2")
	tx := ref("opaque", 0, "g.2")
	tx.Anchor = "a"
	p := prepareOf(anchors, tx, opPut("a", "v"))
	p.Claim = &Claim{}
	anchors.ok(p)
	decides.ok(commit(tx, "g.1"))
	anchors.ok(resolveTo(anchors, tx, ident.TxnCommitted))
	decides.ok(Resolved{tx.ID, "g.1"})
	for range DedupEpochs + 1 {
		decides.ok(AdvanceDedupEpoch{decides.term})
	}
	decides.ok(ExpireDedup{decides.term, 0})
	if m := decides.m.Meta(); m.Decisions != 0 {
		t.Fatalf("%+v", m)
	}
	rec, _ := anchors.m.Stored(tx.ID.Client, 0)
	if got := decides.ok(Push{rec.Ref()}).Decision; !got.Expired || decides.m.Meta().Decisions != 0 {
		t.Errorf("a repetition gets %+v", got)
	}
}

// TestForgedParticipants (Attack 9): which groups took part in a commit is what its first decision says. A later one with other groups,
// with more or with none changes nothing: each group that asks gets the answer that it would have got before. A group that has not
// prepared resolves nothing.
func TestForgedParticipants(t *testing.T) {
	r := founded(t)
	r.put("k", "old")
	tx := ref("c", 1, "g.1")
	r.ok(commit(tx, "g.2"))
	for _, forged := range [][]api.GroupID{nil, {"g.3"}, {"g.2", "g.3"}} {
		d := r.ok(commit(tx, forged...)).Decision
		if !slices.Equal(d.Participants, []api.GroupID{"g.2"}) || !slices.Equal(d.Unresolved, d.Participants) ||
			d.At("g.2") != ident.TxnCommitted || d.At("g.3") != ident.TxnAborted {
			t.Errorf("a second commit with the groups %v: %+v", forged, d)
		}
	}
	r.ok(resolveTo(r, ref("c", 2, "g.2"), ident.TxnCommitted))
	if got := r.read("k"); string(got.Value) != "old" {
		t.Errorf("a commit of what was not prepared left %+v", got)
	}
}
