package fsm

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestTenure checks what groups know of a range that moves there and back: since when each owns it, and when, and to whom, it gave
// it up, also after a restart from a snapshot.
func TestTenure(t *testing.T) {
	a, b := group(t, "g.1", Shard{api.Range{}, 1, 0, 1}), group(t, "g.2")
	k := api.PrefixRange("k/")
	want := func(r *rig, piece Shard, want Tenure, known bool) {
		t.Helper()
		again := newMachine(t)
		if err := again.Restore(bytes.NewReader(stream(t, r.m))); err != nil {
			t.Fatal(err)
		}
		for _, m := range []*Machine{r.m, again} {
			if got, ok := m.Tenure(piece); ok != known || !reflect.DeepEqual(got, want) {
				t.Errorf("of %+v the machine knows %+v %v, want %+v", piece, got, ok, want)
			}
		}
	}
	want(a, Shard{k, 1, 0, 1}, Tenure{}, true)
	want(a, Shard{k, 2, 0, 1}, Tenure{}, false)
	want(a, Shard{k, 1, 0, 2}, Tenure{}, false)
	a.put("x", "1")
	ceded := a.ok(Cede{Term: 1, Range: k, Epoch: 3, To: []api.GroupID{"g.2"}})
	left := &Left{k, 3, []api.GroupID{"g.2"}, ceded.Index}
	want(a, Shard{k, 1, 0, 1}, Tenure{Left: left}, true)
	want(a, Shard{api.Range{}, 1, 0, 1}, Tenure{Left: left}, true)
	want(a, Shard{api.PrefixRange("k/a/"), 1, 0, 1}, Tenure{Left: &Left{api.PrefixRange("k/a/"), 3, []api.GroupID{"g.2"}, ceded.Index}}, true)
	want(a, Shard{api.PrefixRange("x"), 1, 0, 1}, Tenure{}, true)
	want(b, Shard{k, 3, 0, 1}, Tenure{}, false)
	b.advance(2)
	adopted := b.ok(Adopt{*ceded.Receipt, Shard{k, 3, 0, 1}})
	want(b, Shard{k, 3, 0, 1}, Tenure{Since: adopted.Index}, true)
	want(b, Shard{api.Range{}, 3, 0, 1}, Tenure{Since: adopted.Index}, false)
	part := api.PrefixRange("k/m/")
	back := b.ok(Cede{Term: 1, Range: part, Epoch: 5, To: []api.GroupID{"g.1"}})
	want(b, Shard{k, 3, 0, 1}, Tenure{adopted.Index, &Left{part, 5, []api.GroupID{"g.1"}, back.Index}}, true)
	again := a.ok(Adopt{*back.Receipt, Shard{part, 5, 0, 1}})
	want(a, Shard{part, 5, 0, 1}, Tenure{Since: again.Index}, true)
	want(a, Shard{part, 1, 0, 1}, Tenure{Left: &Left{part, 3, []api.GroupID{"g.2"}, ceded.Index}}, true)
	want(a, Shard{part, 3, 0, 1}, Tenure{}, false)
	away := a.ok(Cede{Term: 1, Range: part, Epoch: 7, To: []api.GroupID{"g.2"}})
	want(a, Shard{part, 5, 0, 1}, Tenure{again.Index, &Left{part, 7, []api.GroupID{"g.2"}, away.Index}}, true)
	want(a, Shard{part, 1, 0, 1}, Tenure{Left: &Left{part, 3, []api.GroupID{"g.2"}, ceded.Index}}, true)
	if err := a.m.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// TestFollows checks from where a group owned what follows an earlier owner's piece: also for a while, and not before a position that is
// later.
func TestFollows(t *testing.T) {
	a, b := group(t, "g.1", Shard{api.Range{}, 1, 0, 1}), group(t, "g.2")
	k := api.PrefixRange("k/")
	want := func(after uint64, at uint64, ok bool, earlier ...Shard) {
		t.Helper()
		if got, does := b.m.Follows(earlier, after); got != at || does != ok {
			t.Errorf("after %d what follows %+v is from %d %v, want %d %v", after, earlier, got, does, at, ok)
		}
	}
	ceded := a.ok(Cede{Term: 1, Range: k, Epoch: 3, To: []api.GroupID{"g.2"}})
	want(0, 0, false, Shard{k, 1, 0, 1})
	b.advance(2)
	since := b.ok(Adopt{*ceded.Receipt, Shard{k, 3, 0, 1}}).Index
	own := func() {
		t.Helper()
		want(0, since, true, Shard{k, 1, 0, 1})
		want(0, since, true, Shard{k, 3, 0, 1})
		want(0, since, true, Shard{api.PrefixRange("x/"), 1, 0, 1}, Shard{api.PrefixRange("k/a/"), 1, 1, 2})
		want(0, 0, false, Shard{k, 4, 0, 1})
		want(0, 0, false, Shard{api.PrefixRange("x/"), 1, 0, 1})
		want(0, 0, false)
	}
	own()
	want(since+5, since+5, true, Shard{k, 1, 0, 1})
	at := b.ok(Cede{Term: 1, Range: k, Epoch: 5, To: []api.GroupID{"g.1"}}).Index
	own()
	want(at-1, at-1, true, Shard{k, 1, 0, 1})
	want(at, 0, false, Shard{k, 1, 0, 1})
}

// TestHistoryOfWhatMoved checks that a group still has the history of a range that it gave up, and that to take a
// range over is no change of its keys.
func TestHistoryOfWhatMoved(t *testing.T) {
	a, b := group(t, "g.1", Shard{api.Range{}, 1, 0, 1}), group(t, "g.2")
	put := a.put("k/a", "1")
	deleted := a.ok(Write{Term: 1, Txn: api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "k/a"}}}})
	ceded := a.ok(Cede{Term: 1, Range: api.PrefixRange("k/"), Epoch: 3, To: []api.GroupID{"g.2"}})
	a.put("x", "1")
	h, err := a.m.History(0, 1<<20)
	if err != nil || h.Position.Floor != 0 || len(h.Events) != 3 || h.Events[0].Index != put.Index || h.Events[1].Index != deleted.Index {
		t.Errorf("the old owner's history: %+v, %v", h, err)
	}
	b.advance(2)
	before := b.m.Position().Counter
	b.ok(Adopt{*ceded.Receipt, Shard{api.PrefixRange("k/"), 3, 0, 1}})
	if h, err := b.m.History(before, 1<<20); err != nil || len(h.Events) != 0 || h.To != b.m.Position().Counter {
		t.Errorf("the new owner's history: %+v, %v", h, err)
	}
	b.put("k/a", "2")
	if h, err := b.m.History(before, 1<<20); err != nil || len(h.Events) != 1 || h.Events[0].Version.Epoch != 3 {
		t.Errorf("the new owner's history: %+v, %v", h, err)
	}
}
