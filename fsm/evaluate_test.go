package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestOneEvaluator: a branch has one meaning, whichever command carries it out: a Write of version 1, of version 2, a Prepare that is
// resolved and a CommitLast give the same entries, and leave the same keys.
func TestOneEvaluator(t *testing.T) {
	eachSeed(t, func(t *testing.T, rnd *rand.Rand) {
		ways := map[string]*rig{}
		for _, way := range []string{"version 1", "version 2", "prepare", "commit last"} {
			level := NewestLevel
			if way == "version 1" {
				level = Level1
			}
			ways[way] = groupAt(t, level, "g.1", Shard{Epoch: 1, Of: 1})
		}
		for n := range 60 {
			ops := someOps(rnd)
			var want Result
			for _, way := range []string{"version 1", "version 2", "prepare", "commit last"} {
				r := ways[way]
				res := carryOut(r, way, uint64(n+1), ops)
				if res.Txn != nil {
					res.Txn.Timing = api.Timing{}
				}
				if way == "version 1" {
					want = res
				} else if codeOf(res) != codeOf(want) || !reflect.DeepEqual(res.Txn, want.Txn) {
					t.Fatalf("%+v\nby %s: %s, %v\nwant %s, %v", ops, way, txnText(orNone(res.Txn)), res.Err, txnText(orNone(want.Txn)), want.Err)
				}
			}
			for _, k := range []api.Key{"a", "b", "c", "d"} {
				for way, r := range ways {
					if got, want := r.read(k), ways["version 1"].read(k); !reflect.DeepEqual(got, want) {
						t.Fatalf("after %+v by %s, %s is %+v, want %+v", ops, way, k, got, want)
					}
				}
			}
		}
	})
}

func orNone(r *api.TxnResult) *api.TxnResult {
	if r == nil {
		return &api.TxnResult{}
	}
	return r
}

func codeOf(r Result) api.Code {
	if r.Err == nil {
		return ""
	}
	return r.Err.Code
}

// someOps are steps on few keys, so that most meet others.
func someOps(rnd *rand.Rand) (ops []api.Op) {
	for range 1 + rnd.IntN(6) {
		k := api.Key([]string{"a", "b", "c", "d"}[rnd.IntN(4)])
		switch rnd.IntN(6) {
		case 0:
			ops = append(ops, opGet(k))
		case 1:
			ops = append(ops, opDelete(k))
		case 2:
			ops = append(ops, opAdd(k, rnd.Int64N(5)))
		case 3:
			ops = append(ops, api.Op{Kind: api.OpAppendIfAbsent, Key: k, Value: fmt.Append(nil, rnd.IntN(3))})
		default:
			ops = append(ops, opPut(k, fmt.Sprint(rnd.IntN(20))))
		}
	}
	return ops
}

// carryOut carries the steps out in three commands, of which the first gives the result.
func carryOut(r *rig, way string, seq uint64, ops []api.Op) Result {
	tx := ref("c", seq, "g.1")
	switch way {
	case "prepare":
		res := r.apply(prepareOf(r, tx, ops...))
		if again := r.apply(prepareOf(r, tx, ops...)); res.Err == nil && !reflect.DeepEqual(again.Txn, res.Txn) {
			r.Fatalf("the vote is %s, and again %s", txnText(res.Txn), txnText(again.Txn))
		}
		r.ok(Resolve{"g.1", tx.ID, ident.TxnCommitted})
		return res
	case "commit last":
		defer r.pad()
		return r.apply(CommitLast{Term: r.term, Txn: tx, Then: ops, Held: true})
	}
	defer r.pad()
	return r.apply(Write{Term: r.term, Txn: api.Txn{Then: ops}})
}

// pad makes all ways take three commands.
func (r *rig) pad() {
	r.ok(TermStart{"n"})
	r.ok(TermStart{"n"})
}

// TestVotesTheSame: a Prepare that is sent again votes as it did, whatever has become of the versions of absent keys since.
func TestVotesTheSame(t *testing.T) {
	const k = api.Key("never")
	var other api.Key // of the same bucket
	for i := 0; other == ""; i++ {
		if x := api.Key(fmt.Sprint("x", i)); bucketOf(x) == bucketOf(k) {
			other = x
		}
	}
	for name, op := range map[string]api.Op{"delete": opDelete(k), "get": opGet(k)} {
		t.Run(name, func(t *testing.T) {
			r := founded(t)
			sid := r.open("n")
			lid := r.grant(sid, k)
			raise := func() { // the version of an absence in the bucket
				r.put(other, "v")
				r.ok(Write{Term: r.term, Txn: deleteTxn(other)})
				r.ok(TrimTombstones{Term: r.term, Below: 1 << 40})
			}
			raise()
			p := prepareOf(r, ref("c", 1, "g.2"), op, opPut("w", "1"))
			dropped := []ident.DroppedLease{{Session: sid, Key: k, Lease: lid}}
			if op.Writes() {
				p.Cleared = dropped
			}
			first := r.ok(p).Txn
			r.ok(Release{dropped})
			raise()
			if again := r.ok(p).Txn; !reflect.DeepEqual(again, first) {
				t.Errorf("it voted %s, and then %s", txnText(first), txnText(again))
			}
			r.ok(resolveTo(r, ref("c", 1, "g.2"), ident.TxnCommitted))
		})
	}
}

// allocated is how much memory f takes.
func allocated(f func()) uint64 {
	var a, b runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&a)
	f()
	runtime.ReadMemStats(&b)
	return b.TotalAlloc - a.TotalAlloc
}

// TestWorkIsBounded: what the steps of a branch read and make together is bounded, whatever kind of step and of command: one byte
// over is refused, names limit and size, changes nothing and takes no memory for it. Version 1 had no bound.
func TestWorkIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("megabytes, in one goroutine")
	}
	const keys, half = 8, api.MaxValueBytes / 2
	limit := api.MaxTxnWorkBytes
	app := func(k api.Key, v string) api.Op {
		return api.Op{Kind: api.OpAppendIfAbsent, Key: k, Value: []byte(v)}
	}
	var gets, appends, same []api.Op
	for i := range keys {
		k := api.Key(fmt.Sprint("big", i))
		gets = append(gets, opGet(k))
		appends = append(appends, app(api.Key(fmt.Sprint("half", i)), strings.Repeat("z", half)))
	}
	var plain []api.Op
	for i := range keys {
		plain = append(plain, opAppend(api.Key(fmt.Sprint("half", i)), strings.Repeat("z", half)))
	}
	for i := range 20 {
		same = append(same, app("half0", fmt.Sprintf("<%d>", i)))
	}
	setUp := func(level Level) *rig {
		r := groupAt(t, level, "g.1", Shard{Epoch: 1, Of: 1})
		for i := range keys {
			r.put(api.Key(fmt.Sprint("big", i)), strings.Repeat("v", api.MaxValueBytes))
			r.put(api.Key(fmt.Sprint("half", i)), strings.Repeat("v", half))
		}
		r.put("one", "1")
		return r
	}
	with := func(ops []api.Op, more ...api.Op) []api.Op { return append(slices.Clone(ops), more...) }
	for _, c := range []struct {
		name   string
		ops    []api.Op
		within bool
	}{
		{"gets to the last byte", gets, true},
		{"gets and one byte", with(gets, opGet("one")), false},
		{"gets and a sum", with(gets, opAdd("n", 1)), false},
		{"gets and what makes nothing", with(gets, app("big0", "v"), opGet("none"), opDelete("one"), opPut("p", "1")), true},
		{"functions to the last byte", appends, true},
		{"functions and one byte", with(appends, opGet("one")), false},
		{"what functions make on the way", same, false},
		{"appends to the last byte", plain, true},
		{"appends and one byte", with(plain, opGet("one")), false},
		{"appends and a fold", with(plain, opFold(api.OpSum64, "n", 1)), false},
		{"gets and puts that keep a deadline", with(gets, keeping(opPut("big1", "1")), keeping(opPut("none", "1"))), true},
		{"a get twice", with(gets, opGet("big0")), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := setUp(NewestLevel)
			tx := api.Txn{If: []api.Cond{exists("one")}, Then: c.ops}
			prepare := prepareOf(r, ref("c", 1, "g.2"), c.ops...)
			last := CommitLast{Term: r.term, Txn: ref("c", 2, "g.1"), Then: c.ops, Held: true}
			if c.within {
				if p := r.m.Preview(&tx, ident.DedupEpoch{}); p.Err != nil {
					t.Errorf("foretold: %v", p.Err)
				}
				r.ok(prepare)
				r.ok(Resolve{"g.1", prepare.Txn.ID, ident.TxnAborted})
				r.ok(last)
				return
			}
			var p Preview
			if n := allocated(func() { p = r.m.Preview(&tx, ident.DedupEpoch{}) }); p.Err == nil || p.Err.Code != api.CodeTooLarge || n > uint64(2*limit) {
				t.Errorf("foretold: %v, for %d bytes of memory", p.Err, n)
			}
			for _, cmd := range []Command{Write{Term: r.term, Txn: tx}, prepare, last} {
				var res Result
				entry := [][]byte{r.encode(cmd)}
				if n := allocated(func() { res = one(r.m.Apply(r.next(), r.term, entry)) }); n > uint64(2*limit+8*len(entry[0])) {
					t.Errorf("%T of %d bytes took %d bytes of memory to be refused", cmd, len(entry[0]), n)
				}
				if res.Err == nil || res.Err.Code != api.CodeTooLarge || !strings.Contains(res.Err.Hint, fmt.Sprint(limit)) {
					t.Fatalf("%T gave %v", cmd, res.Err)
				}
			}
			r.refused(Write{Term: r.term, Txn: tx}, api.CodeTooLarge)
			r.refused(prepare, api.CodeTooLarge)
			r.refused(last, api.CodeTooLarge)
			if slices.ContainsFunc(c.ops, func(o api.Op) bool { return LevelOf(&o) > Level1 }) {
				return
			}
			old := setUp(Level1)
			old.ok(Write{Term: old.term, Txn: tx})
		})
	}
}

// TestMemoryIsBounded: an evaluation holds no more values than it may read and make, however many it looks at: those of functions that
// make nothing do not count.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("megabytes, in one goroutine")
	}
	r := founded(t)
	var ops []api.Op
	for i := range 3 * api.MaxTxnWorkBytes / api.MaxValueBytes {
		k := api.Key(fmt.Sprint("big", i))
		r.put(k, strings.Repeat("v", api.MaxValueBytes))
		ops = append(ops, api.Op{Kind: api.OpAppendIfAbsent, Key: k, Value: []byte("v")})
	}
	var ev evaluation
	v := r.m.begin()
	if err := v.evaluate(&ev, ops); err != nil {
		t.Fatal(err)
	}
	held := 0
	for i := range ev.drafts {
		held += len(ev.drafts[i].Value)
	}
	if held > api.MaxTxnWorkBytes {
		t.Errorf("it holds %d bytes, and may read and make %d", held, api.MaxTxnWorkBytes)
	}
	again := []api.Op{ops[0], opGet("big0"), opDelete("big0"), opGet("big0")}
	es := r.ok(Write{Term: r.term, Txn: api.Txn{Then: again}}).Txn.Entries
	if len(es[1].Value) != api.MaxValueBytes || !es[0].Exists || es[3].Exists || es[0].Version != es[1].Version {
		t.Errorf("a value that is asked for again: %v", es)
	}
	r.ok(Write{Term: r.term, Txn: api.Txn{Then: ops}})
}

// TestGrantIsBounded: so is what a Grant reads.
func TestGrantIsBounded(t *testing.T) {
	r := founded(t)
	item := GrantItem{Session: r.open("n")}
	for i := range api.MaxTxnWorkBytes/api.MaxValueBytes + 1 {
		k := api.Key(fmt.Sprint("big", i))
		r.put(k, strings.Repeat("v", api.MaxValueBytes))
		item.Keys = append(item.Keys, k)
	}
	r.refused(Grant{r.term, []GrantItem{item}}, api.CodeTooLarge)
	item.Keys = item.Keys[1:]
	r.ok(Grant{r.term, []GrantItem{item}})
}

// TestReadIsBounded: and what one read returns.
func TestReadIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("megabytes, in one goroutine")
	}
	r := founded(t)
	var keys []api.Key
	for i := range api.MaxReadBytes/api.MaxValueBytes + 1 {
		k := api.Key(fmt.Sprintf("big%02d", i))
		r.put(k, strings.Repeat("v", api.MaxValueBytes))
		keys = append(keys, k)
	}
	if _, _, err := r.m.Read(keys); api.CodeOf(err) != api.CodeTooLarge {
		t.Errorf("a read of %d bytes gave %v", len(keys)*api.MaxValueBytes, err)
	}
	if es, _, err := r.m.Read(keys[1:]); err != nil || !bytes.Equal(es[0].Value, es[1].Value) || len(es[0].Value) != api.MaxValueBytes {
		t.Errorf("a read of the limit gave %v", err)
	}
}

// TestIntentsAreNamedQuickly: what meets the intents of one large transaction looks at its row once, not once a key.
func TestIntentsAreNamedQuickly(t *testing.T) {
	if testing.Short() {
		t.Skip("for a time")
	}
	r := founded(t)
	var ops []api.Op
	var keys []api.Key
	for i := range MaxNamedIntents {
		k := api.Key(fmt.Sprintf("k%04d", i) + strings.Repeat("x", 3900))
		keys, ops = append(keys, k), append(ops, opPut(k, "v"))
	}
	holder := ref("c", 1, "g.2")
	r.ok(prepareOf(r, holder, ops...))
	row := uint64(len(keys) * len(keys[0]))
	met := func(what string, f func() []Intent) {
		t.Helper()
		var in []Intent
		began := time.Now()
		if n := allocated(func() { in = f() }); n > 32*row {
			t.Errorf("%s took %d bytes of memory, and the row has %d", what, n, row)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s took %v", what, took)
		}
		if len(in) != len(keys) || in[7] != (Intent{keys[7], true, holder}) {
			t.Errorf("%s names %d intents, such as %+v", what, len(in), in[:min(len(in), 1)])
		}
	}
	met("a read", func() []Intent {
		_, _, err := r.m.Read(keys)
		met, _ := errors.AsType[*IntentsError](err)
		return met.Intents
	})
	met("a look", func() []Intent { return r.m.Intents(keys) })
	met("a list", func() []Intent {
		r.m.mu.RLock()
		defer r.m.endRead()
		v := r.m.begin()
		return v.intentsIn(api.Range{}, len(keys), false)
	})
	met("a prepare", func() []Intent { return r.apply(prepareOf(r, ref("d", 1, "g.2"), ops...)).Intents })
}
