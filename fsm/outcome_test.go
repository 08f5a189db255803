package fsm

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestReplayAnswersTheSame: a request that is sent again is answered as it was, values included, whatever has been written since.
func TestReplayAnswersTheSame(t *testing.T) {
	r := founded(t)
	r.put("empty", "")
	r.put("price", "42")
	w := Write{Term: r.term, Txn: api.Txn{
		ID: api.RequestID{Client: api.ClientID{1}, Seq: 1},
		If: []api.Cond{exists("price")},
		Then: []api.Op{
			opGet("price"), opGet("empty"), opGet("none"), opPut("done", "yes"), opGet("done"), opAdd("n", 7), opDelete("empty"), opGet("empty"),
		},
		Else: []api.Op{opGet("price")},
	}}
	first := r.ok(w).Txn
	r.put("price", "0")
	r.put("none", "0")
	again := r.ok(w).Txn
	if first.Replayed = true; !reflect.DeepEqual(plainEntries(again), plainEntries(first)) {
		t.Errorf("answered\n%s and then\n%s", txnText(first), txnText(again))
	}
	if p := r.m.Preview(&w.Txn, w.Epoch); p.Replay == nil || !reflect.DeepEqual(plainEntries(p.Replay), plainEntries(first)) {
		t.Errorf("foretold %+v", p)
	}
}

// plainEntries are the entries, with a value of no length as nil.
func plainEntries(r *api.TxnResult) []api.Entry {
	for i := range r.Entries {
		if len(r.Entries[i].Value) == 0 {
			r.Entries[i].Value = nil
		}
	}
	return r.Entries
}

// TestReplayElides: of a record 64 KiB of values are kept; a get beyond them is answered as elided, never as empty. Sums always are
// kept, and the record is of a bounded size.
func TestReplayElides(t *testing.T) {
	r := founded(t)
	var ops []api.Op
	for i, n := range []int{MaxRecordBytes - 400, 100, 60_000, 20, 200, api.MaxValueBytes} {
		k := api.Key(fmt.Sprint("k", i))
		r.put(k, strings.Repeat("v", n))
		ops = append(ops, opGet(k), opAdd(api.Key(fmt.Sprint("n", i)), 1<<60))
	}
	w := Write{Term: r.term, Txn: api.Txn{ID: api.RequestID{Client: api.ClientID{1}}, Then: ops}}
	tx := ref("c", 1, "g.2")
	tx.Anchor = "k0"
	first := r.ok(w).Txn
	want := []bool{false, false, true, false, true, true} // elided
	check := func(what string, again *api.TxnResult) {
		t.Helper()
		for i, e := range again.Entries {
			switch f := first.Entries[i]; {
			case i%2 == 1 && string(e.Value) != fmt.Sprint(1<<60):
				t.Errorf("%s: the sum %d is %q", what, i, e.Value)
			case i%2 == 0 && want[i/2] && (!e.Elided || e.Value != nil || !e.Exists || e.Version != f.Version):
				t.Errorf("%s: get %d is not elided: %d bytes, %+v", what, i/2, len(e.Value), e.Elided)
			case i%2 == 0 && !want[i/2] && (e.Elided || string(e.Value) != string(f.Value)):
				t.Errorf("%s: get %d has %d bytes, want %d", what, i/2, len(e.Value), len(f.Value))
			}
		}
	}
	check("the record", r.ok(w).Txn)
	rec, ok := r.m.Stored(w.Txn.ID.Client, 0)
	if size := len(recordRow(&rec)); !ok || size > MaxRecordBytes+4096 {
		t.Errorf("the record takes %d bytes", size)
	}
	d := commit(tx, "g.1")
	d.Outcomes = Outcomes(ops, first.Entries)
	d.Txn.ID.Decider = "g.1"
	check("the decision", r.ok(d).Decision.Replay(&w.Txn))
	c, _ := r.m.Decided(d.Txn.ID)
	check("the decision that is kept", c.Replay(&w.Txn))
}

// TestReplayOfLevel1: records from before kept no values of gets: their replay says so.
func TestReplayOfLevel1(t *testing.T) {
	r := groupAt(t, Level1, "g.1", Shard{Epoch: 1, Of: 1})
	r.put("k", "v")
	w := Write{Term: r.term, Txn: api.Txn{
		ID: api.RequestID{Client: api.ClientID{1}, Seq: 1}, Then: []api.Op{opGet("k"), opGet("none"), opPut("p", "1"), opAdd("n", 1)},
	}}
	r.ok(w)
	for _, level := range []Level{Level1, NewestLevel} {
		r.ok(SetLevel{r.term, level})
		es := r.ok(w).Txn.Entries
		if !es[0].Elided || es[1].Elided || es[2].Elided || es[3].Elided || string(es[3].Value) != "1" {
			t.Errorf("at level %d: %+v", level, es)
		}
	}
}

// TestValuesStayBehind: records whose values are more than a receipt may carry move without them.
func TestValuesStayBehind(t *testing.T) {
	for _, records := range []int{3, 2 * MaxReceiptBytes / MaxRecordBytes} {
		a, b := group(t, "g.1", Shard{Epoch: 1, Of: 1}), group(t, "g.2")
		a.put("big", strings.Repeat("v", MaxRecordBytes-100))
		var sent []Write
		for i := range records {
			w := Write{Term: 1, Txn: api.Txn{ID: api.RequestID{Client: api.ClientID{1}, Seq: uint64(i + 1)}}}
			w.Txn.Then = []api.Op{opDelete(api.Key(fmt.Sprint("a/", i))), opGet("big"), opAdd("n", 1)}
			a.index++
			if res := one(a.m.Apply(a.index, 1, [][]byte{a.encode(w)})); res.Err != nil {
				t.Fatal(res.Err)
			}
			sent = append(sent, w)
		}
		receipt := a.ok(Cede{Term: 1, Range: api.PrefixRange("a/"), Epoch: 2, To: []api.GroupID{"g.2"}}).Receipt
		b.ok(Adopt{*receipt, Shard{api.PrefixRange("a/"), 2, 0, 1}})
		for i, w := range []Write{sent[0], sent[len(sent)-1]} {
			es := b.ok(w).Txn.Entries
			if small := records == 3; es[1].Elided == small || small && len(es[1].Value) != MaxRecordBytes-100 || len(es[2].Value) == 0 {
				t.Errorf("of %d records, %d answers %d bytes, elided %v", records, i, len(es[1].Value), es[1].Elided)
			}
		}
	}
}
