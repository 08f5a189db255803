package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

func opAppend(k api.Key, v string) api.Op {
	return api.Op{Kind: api.OpAppend, Key: k, Value: []byte(v)}
}

func opFold(kind api.OpKind, k api.Key, n uint64) api.Op {
	return api.Op{Kind: kind, Key: k, Value: binary.LittleEndian.AppendUint64(nil, n)}
}

func keeping(o api.Op) api.Op {
	o.KeepTTL = true
	return o
}

// TestFunctionsOneWay shows that the functions of bytes, and steps that keep a deadline, mean the same in a Write, a Prepare that is
// resolved and a CommitLast: they give the same entries and deadlines, and leave the same keys with the same deadlines.
func TestFunctionsOneWay(t *testing.T) {
	some := func(rnd *rand.Rand) (ops []api.Op) {
		ops = someOps(rnd)
		for range rnd.IntN(4) {
			k := api.Key([]string{"a", "b", "m", "n"}[rnd.IntN(4)])
			o := opAppend(k, fmt.Sprint(rnd.IntN(9)))
			if k >= "m" {
				o = opFold(api.OpSum64+api.OpKind(rnd.IntN(3)), k, rnd.Uint64N(1000))
			}
			switch rnd.IntN(3) {
			case 0:
				o.KeepTTL = true
			case 1:
				o.TTL = time.Duration(100+rnd.IntN(5000)) * time.Millisecond
			}
			ops = slices.Insert(ops, rnd.IntN(len(ops)+1), o)
		}
		return ops
	}
	eachSeed(t, func(t *testing.T, rnd *rand.Rand) {
		names := []string{"write", "prepare", "commit last"}
		ways := map[string]*rig{}
		for _, way := range names {
			ways[way] = groupAt(t, NewestLevel, "g.1", Shard{Epoch: 1, Of: 1})
		}
		for n := range 60 {
			ops := some(rnd)
			var want Result
			for _, way := range names {
				res := carryOut(ways[way], way, uint64(n+1), ops)
				if res.Txn != nil {
					res.Txn.Timing = api.Timing{}
				}
				if way == "write" {
					want = res
				} else if codeOf(res) != codeOf(want) || !reflect.DeepEqual(res.Txn, want.Txn) || !slices.Equal(res.Deadlines, want.Deadlines) {
					t.Fatalf("%+v\nby %s: %s, %d, %v\nwant %s, %d, %v", ops, way, txnText(orNone(res.Txn)), res.Deadlines, res.Err,
						txnText(orNone(want.Txn)), want.Deadlines, want.Err)
				}
			}
			for _, k := range []api.Key{"a", "b", "c", "d", "m", "n"} {
				for way, r := range ways {
					first := ways["write"]
					if got, want := r.read(k), first.read(k); !reflect.DeepEqual(got, want) || r.deadline(k) != first.deadline(k) {
						t.Fatalf("after %+v by %s, %s is %+v until %d, want %+v until %d", ops, way, k, got, r.deadline(k), want, first.deadline(k))
					}
				}
			}
		}
	})
}

// TestStepsKeepDeadlines shows what a step with keep_ttl makes of a deadline, alone and behind other steps.
func TestStepsKeepDeadlines(t *testing.T) {
	r := founded(t)
	r.at(second, putFor("a", "1", 5*time.Second), putFor("b", "12345678", 5*time.Second), putFor("c", "1", 5*time.Second), putFor("d", "1", 5*time.Second))
	res := r.at(2*second, keeping(opPut("a", "2")), keeping(opFold(api.OpMax64, "b", 1)), keeping(opAppend("c", "2")), opAppend("d", "2"), keeping(opPut("new", "1")))
	if want := []uint64{6 * second, 6 * second, 6 * second, 0, 0}; !slices.Equal(res.Deadlines, want) {
		t.Errorf("the steps have the deadlines %d, want %d", res.Deadlines, want)
	}
	r.wantDeadlines(map[api.Key]uint64{"a": 6 * second, "b": 6 * second, "c": 6 * second, "d": 0, "new": 0})
	r.at(3*second, opDelete("a"), keeping(opPut("a", "3")), putFor("b", "x", time.Second), keeping(opPut("b", "y")), touchFor("c", 20*time.Second), keeping(opPut("c", "z")))
	r.wantDeadlines(map[api.Key]uint64{"a": 0, "b": 4 * second, "c": 23 * second})
	tx := ref("across", 1, "g.2")
	r.ok(Prepare{Term: 1, Group: "g.1", Txn: tx, Then: []api.Op{keeping(opPut("c", "later"))}})
	r.refused(Write{Term: 1, Txn: api.Txn{Then: []api.Op{touchFor("c", time.Hour)}}, Now: 4 * second}, RetryIntents)
	r.ok(Tick{1, 30 * second})
	r.ok(Resolve{"g.1", tx.ID, ident.TxnCommitted})
	r.wantDeadlines(map[api.Key]uint64{"c": 23 * second})
	if string(r.read("c").Value) != "later" {
		t.Errorf("c is %+v", r.read("c"))
	}
	r.expireDue(30 * second)
	if r.read("c").Exists || r.read("b").Exists || !r.read("a").Exists || r.m.Meta().Deadlines != 0 {
		t.Errorf("after all deadlines: a %+v, b %+v, c %+v, %d deadlines", r.read("a"), r.read("b"), r.read("c"), r.m.Meta().Deadlines)
	}
}

// TestFunctionsWaitForLeases shows that a function of bytes is refused under a lease as any write is, by each command.
func TestFunctionsWaitForLeases(t *testing.T) {
	for _, op := range []api.Op{opAppend("k", "x"), opFold(api.OpSum64, "k", 1), opFold(api.OpMin64, "k", 1), opFold(api.OpMax64, "k", 1), keeping(opPut("k", "x"))} {
		r := founded(t)
		sid := r.open("n")
		lid := r.grant(sid, "k")
		tx := ref("c", 1, "g.1")
		last := CommitLast{Term: 1, Txn: tx, Then: []api.Op{op}, Held: true}
		r.refused(Write{Term: 1, Txn: api.Txn{Then: []api.Op{op}}}, RetryLeases)
		r.refused(prepareOf(r, ref("d", 1, "g.2"), op), RetryLeases)
		r.refused(last, RetryLeases)
		last.Cleared = []ident.DroppedLease{{Session: sid, Key: "k", Lease: lid}}
		r.ok(last)
	}
}

// TestFunctionsNeedTheirLevel shows that below level 6 its steps are refused, before they reach the log by a refusal that names the
// levels, and that the machine takes none from a command of an earlier version.
func TestFunctionsNeedTheirLevel(t *testing.T) {
	for level := Level1; level < Level6; level++ {
		r := groupAt(t, level, "g.1", Shard{Epoch: 1, Of: 1})
		for _, op := range []api.Op{
			opAppend("k", "v"), opFold(api.OpSum64, "k", 1), opFold(api.OpMin64, "k", 1), opFold(api.OpMax64, "k", 1), keeping(opPut("k", "v")),
		} {
			txn := api.Txn{If: []api.Cond{exists("other")}, Then: []api.Op{opGet("k")}, Else: []api.Op{op}}
			r.refused(Write{Term: 1, Txn: txn}, api.CodeInvalid)
			r.refused(prepareOf(r, ref("c", 1, "g.2"), op), api.CodeInvalid)
			wantLevel(t, level, r.m.Takes(&txn))
			wantLevel(t, level, r.m.Preview(&txn, r.epoch()).Err)
		}
		r.ok(SetLevel{1, NewestLevel})
		r.ok(Write{Term: 1, Txn: api.Txn{Then: []api.Op{opAppend("k", "v")}}})
	}
}

func wantLevel(t *testing.T, level Level, err error) {
	t.Helper()
	e := api.AsError(err)
	if e == nil || e.Code != api.CodeUnavailable || !strings.Contains(e.Hint, fmt.Sprintf("at level %d", level)) || !strings.Contains(e.Hint, "need level 6") || !errors.Is(err, api.ErrLevel) {
		t.Errorf("at level %d it is refused with %v", level, err)
	}
}

// TestManyOperationsNeedTheirLevel shows that a command of a version before 6 has at most as many operations as an older program
// takes, and that from then on a transaction has as many as package api allows.
func TestManyOperationsNeedTheirLevel(t *testing.T) {
	steps := func(n int) (ops []api.Op) {
		for i := range n {
			ops = append(ops, opPut(api.Key(fmt.Sprintf("k%04d", i)), "v"))
		}
		return ops
	}
	r := groupAt(t, Level5, "g.1", Shard{Epoch: 1, Of: 1})
	before := codec.MaxOpsBefore
	one := api.Txn{Then: steps(before + 1)}
	both := api.Txn{Then: steps(before), Else: steps(1)}
	conds := api.Txn{If: slices.Repeat([]api.Cond{exists("k")}, before), Then: steps(1)}
	for _, txn := range []api.Txn{one, both, conds} {
		if res := r.apply(Write{Term: 1, Txn: txn}); res.Err == nil || res.Err.Code != api.CodeInvalid && res.Err.Code != api.CodeTooLarge {
			t.Errorf("a command of version 5 with over %d operations gave %v", before, res.Err)
		}
		wantLevel(t, Level5, r.m.Takes(&txn))
	}
	r.refused(prepareOf(r, ref("c", 1, "g.2"), one.Then...), api.CodeInvalid)
	parts := prepareOf(r, ref("c", 1, "g.2"), steps(before)...)
	parts.If = []api.Cond{absent("none")}
	r.refused(parts, api.CodeTooLarge)
	r.ok(Write{Term: 1, Txn: api.Txn{Then: steps(before)}})
	wantLevel(t, Level5, r.m.TakesOutcomes(before+1))
	if err := r.m.TakesOutcomes(before); err != nil {
		t.Error(err)
	}

	r.ok(SetLevel{1, Level6})
	full := api.Txn{If: slices.Repeat([]api.Cond{exists("k0000")}, 100), Then: steps(api.MaxTxnOps - 100), ID: api.RequestID{Client: api.ClientID{1}, Seq: 1}}
	for range 2 { // the second is a repetition, from the record
		if res := r.ok(Write{Term: 1, Txn: full}); len(res.Txn.Entries) != len(full.Then) {
			t.Errorf("%d entries of %d steps", len(res.Txn.Entries), len(full.Then))
		}
	}
	if res := r.apply(Write{Term: 1, Txn: api.Txn{Then: steps(api.MaxTxnOps), Else: steps(1)}}); res.Err == nil || res.Err.Code != api.CodeTooLarge {
		t.Errorf("a transaction over the limit gave %v", res.Err)
	}
	if err := r.m.TakesOutcomes(api.MaxTxnOps); err != nil {
		t.Error(err)
	}
	r.ok(prepareOf(r, ref("c", 1, "g.2"), steps(api.MaxTxnOps)...))
	r.ok(resolveTo(r, ref("c", 1, "g.2"), ident.TxnCommitted))
	if err := r.m.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// TestReplayOfAppends shows that a repetition answers the lengths that the first answer had, however many there were and whatever
// became of the keys since.
func TestReplayOfAppends(t *testing.T) {
	r := founded(t)
	txn := api.Txn{ID: api.RequestID{Client: api.ClientID{1}, Seq: 1}}
	for i := range api.MaxTxnOps {
		txn.Then = append(txn.Then, opAppend(api.Key(fmt.Sprintf("k%d", i%100)), "0123456789"))
	}
	first := r.ok(Write{Term: 1, Txn: txn, Epoch: r.epoch()}).Txn
	r.put("k1", "other")
	again := r.ok(Write{Term: 1, Txn: txn, Epoch: r.epoch()}).Txn
	if !again.Replayed || !reflect.DeepEqual(again.Entries, first.Entries) || string(first.Entries[api.MaxTxnOps-1].Value) != "250" {
		t.Errorf("the last of %d appends answered %q, and again %q", len(first.Entries), first.Entries[api.MaxTxnOps-1].Value, again.Entries[api.MaxTxnOps-1].Value)
	}
}
