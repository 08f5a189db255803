package fsm

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestListsTogether: several lists show one instant, although a command that changes both waits between them.
func TestListsTogether(t *testing.T) {
	e := &scanned{Engine: engine.NewMemory()}
	m, err := Open(e)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{TB: t, m: m, term: 1}
	r.ok(Init{Group: "g.1", Incarnation: 7, MaxTerm: time.Minute, MaxPause: time.Second, Shards: []Shard{{Epoch: 1, Of: 1}}})
	put := func(v string) Write {
		return Write{Term: 1, Txn: api.Txn{Then: []api.Op{
			{Kind: api.OpPut, Key: "a/b/1", Value: []byte(v)}, {Kind: api.OpPut, Key: "a/b/2", Value: []byte(v)}}}}
	}
	r.ok(put("old"))
	late := r.encode(put("new"))
	index := r.next()
	var wg sync.WaitGroup
	defer wg.Wait()
	e.before = func() {
		wg.Go(func() { one(m.Apply(index, 1, [][]byte{late})) })
		for m.mu.TryRLock() { // it fails once the Apply waits
			m.mu.RUnlock()
			runtime.Gosched()
		}
	}
	page, _, err := m.ListAt(&api.ListRequest{Range: api.PrefixRange("a/b/1"), Also: []api.ListPart{{Range: api.PrefixRange("a/b/2")}}})
	if err != nil || len(page.Entries) != 1 || len(page.Also) != 1 || len(page.Also[0].Entries) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	if a, b := page.Entries[0], page.Also[0].Entries[0]; string(a.Value) != "old" || string(b.Value) != "old" || a.Version != b.Version {
		t.Errorf("the lists show %+v and %+v", a, b)
	}
}

// TestListsOfOneShard: lists are made together only if all their keys are of one shard, whatever the group owns beside.
func TestListsOfOneShard(t *testing.T) {
	r := group(t, "g.1", Shard{api.Range{End: "m"}, 3, 0, 1}, Shard{api.Range{Start: "m", End: "x"}, 4, 0, 1})
	for _, c := range []struct {
		first, also api.Range
		code        api.Code
	}{
		{api.PrefixRange("a/b/"), api.PrefixRange("c"), ""},
		{api.PrefixRange("n/o/"), api.Range{Start: "n", End: "x"}, ""},
		{api.PrefixRange("a/b/"), api.PrefixRange("n/o/"), api.CodeInvalid},
		{api.PrefixRange("a/b/"), api.Range{Start: "l", End: "n"}, api.CodeInvalid},
		{api.PrefixRange("a/b/"), api.PrefixRange("y"), api.CodeWrongGroup},
	} {
		_, err := r.m.List(&api.ListRequest{Range: c.first, Also: []api.ListPart{{Range: c.also}}})
		if api.CodeOf(err) != c.code {
			t.Errorf("%v beside %v: %v, want %q", c.also, c.first, err, c.code)
		}
	}
	parts := group(t, "g.2", Shard{api.Range{}, 3, ident.ShardOf("a/b/", 2), 2})
	for also, code := range map[api.Key]api.Code{"a/b/c": "", "a/b": api.CodeInvalid} {
		_, err := parts.m.List(&api.ListRequest{Range: api.PrefixRange("a/b/"), Also: []api.ListPart{{Range: api.PrefixRange(also)}}})
		if api.CodeOf(err) != code {
			t.Errorf("%q, of half of a range: %v, want %q", also, err, code)
		}
	}
}

// TestListsTogetherAreBounded: the pages of all lists together keep to the limit of bytes, and what a page leaves out takes no room from
// the next.
func TestListsTogetherAreBounded(t *testing.T) {
	r := group(t, "g.1", Shard{Epoch: 1, Of: 1})
	const size = api.MaxValueBytes - 100
	q := &api.ListRequest{Range: api.PrefixRange("a/b/"), Limit: 1} // the next entry of the range is left out
	for i := range 10 {
		k := api.Key(fmt.Sprintf("a/b/%d", i))
		r.ok(Write{Term: 1, Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: make([]byte, size)}}}})
		if i > 0 {
			q.Also = append(q.Also, api.ListPart{Range: api.PrefixRange(k)})
		}
	}
	page, err := r.m.List(q)
	if err != nil || len(page.Entries) != 1 || !page.More {
		t.Fatalf("%d entries, %v, %v", len(page.Entries), page.More, err)
	}
	for i, also := range page.Also {
		if fits := (i+2)*size <= api.MaxListBytes; len(also.Entries) == 1 != fits || also.More == fits {
			t.Errorf("further page %d has %d entries, more: %v", i, len(also.Entries), also.More)
		}
	}
}
