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
