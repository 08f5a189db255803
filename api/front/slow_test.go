package front

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe/slow"
)

// slowStore takes some time for each request, as its answer says.
type slowStore struct {
	everything
	timing api.Timing
	err    error
}

func (s *slowStore) Read(_ context.Context, _ *api.ReadRequest, out *api.ReadResult) error {
	*out = api.ReadResult{Group: "us.1", Timing: s.timing}
	return s.err
}

func (s *slowStore) Do(context.Context, *api.Txn) (*api.TxnResult, error) {
	return &api.TxnResult{Group: "us.1", Timing: s.timing}, s.err
}

// remembering answers about slow requests from a log, as a node does.
type remembering struct {
	log *slow.Log
	hot []api.HotKey
}

func (r remembering) SlowRequests(context.Context, api.NodeID) (*api.SlowReport, error) {
	return &api.SlowReport{Slow: r.log.Newest(time.Now()), Hot: append([]api.HotKey{}, r.hot...)}, nil
}

// TestSlowKeysAreHidden: a caller without the right to list a key is not shown the key, neither of a slow request nor as a hot one, and
// is shown that there is one; the rest of the row stays.
func TestSlowKeysAreHidden(t *testing.T) {
	log := slow.NewLog()
	b := New(Config{Store: &slowStore{}, SlowLog: log, SlowRequests: remembering{log, []api.HotKey{{Key: "secret", Reads: 2}, {Key: "open", Reads: 1}}},
		Access: asking(func(*Principal, string) error { return nil })})
	for _, k := range []api.Key{"secret", "open", ""} {
		b.Slow(t.Context(), Labels{Front: "http", Route: "kv"}, &Note{key: k, used: true}, time.Now(), time.Second)
	}
	r, err := b.For(t.Context()).SlowRequests(t.Context(), "")
	if err != nil || len(r.Slow) != 3 || len(r.Hot) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	hidden := 0
	for _, x := range r.Slow {
		if x.Key == "secret" || x.Hidden && x.Key != "" || x.TookMS != 1000 {
			t.Errorf("a slow request shows %+v", x)
		}
		if x.Hidden {
			hidden++
		}
	}
	if hidden != 1 {
		t.Errorf("%d keys are hidden, want that of one", hidden)
	}
	if !r.Hot[0].Hidden || r.Hot[0].Key != "" || r.Hot[1].Hidden || r.Hot[1].Key != "open" {
		t.Errorf("the hot keys are %+v", r.Hot)
	}
}

// TestSlowNeedsObserve: without the right to observe the cluster nothing is shown.
func TestSlowNeedsObserve(t *testing.T) {
	denied := api.Errorf(api.CodeDenied, "no")
	b := New(Config{Store: &slowStore{}, SlowRequests: remembering{log: slow.NewLog()}, Access: asking(func(_ *Principal, asked string) error { return denied })})
	if r, err := b.For(t.Context()).SlowRequests(t.Context(), ""); !errors.Is(err, api.CodeDenied) || r != nil {
		t.Errorf("%v, %v", r, err)
	}
}

// TestSlowSaysWhere: a slow request says where its time went, which holders it waited for, what answered it and how it failed.
func TestSlowSaysWhere(t *testing.T) {
	s := &slowStore{timing: api.Timing{Route: 10 * time.Millisecond, Revoke: 70 * time.Millisecond, Commit: 5 * time.Millisecond,
		Delayed: []api.Delay{{Node: "eu-edge", Wait: 70 * time.Millisecond}}}}
	log := slow.NewLog()
	b := New(Config{Store: s, SlowLog: log, Node: "us-1"})
	var n Note
	c := b.For(t.Context()).Noting(&n)
	started := time.Now()
	if _, err := c.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k"}, {Kind: api.OpPut, Key: "l"}}}); err != nil {
		t.Fatal(err)
	}
	b.Slow(t.Context(), Labels{Front: "http", Route: "txn"}, &n, started, 90*time.Millisecond)
	n, s.err = Note{}, api.Errorf(api.CodeUnavailable, "the time was up")
	_ = c.Read(t.Context(), &api.ReadRequest{Keys: []api.Key{"k"}}, new(api.ReadResult))
	b.Slow(t.Context(), Labels{Front: "resp", Route: "read"}, &n, started, 40*time.Millisecond)
	b.Slow(t.Context(), Labels{Front: "http", Route: "livez"}, &Note{}, started, time.Second) // it has asked nothing of the store
	b.Slow(t.Context(), Labels{Front: "http", Route: "kv"}, &n, started, slow.Least/2)        // it is quick
	all := log.Newest(time.Now())
	if len(all) != 2 {
		t.Fatalf("it remembers %+v", all)
	}
	want := []api.SlowPart{{What: "route", MS: 10}, {What: "revoke", MS: 70}, {What: "commit", MS: 5}, {What: "holder", Node: "eu-edge", MS: 70}, {What: "node", MS: 5}}
	x := all[0]
	if x.Key != "k" || x.Keys != 2 || x.Node != "us-1" || x.Route != "txn" || x.Source != "owner" || x.Group != "us.1" || len(x.Parts) != len(want) {
		t.Fatalf("the write is %+v", x)
	}
	for i := range want {
		if x.Parts[i] != want[i] {
			t.Errorf("part %d is %+v, want %+v", i, x.Parts[i], want[i])
		}
	}
	if x := all[1]; x.Error != api.CodeUnavailable || x.Source != "" || x.Front != "resp" {
		t.Errorf("the read is %+v", x)
	}
}

// TestHotKeysAreCounted: what callers read and write is counted.
func TestHotKeysAreCounted(t *testing.T) {
	hot := slow.NewHot()
	c := New(Config{Store: &slowStore{}, HotKeys: hot}).For(t.Context())
	for range 20_000 {
		_ = c.Read(t.Context(), &api.ReadRequest{Keys: []api.Key{"read"}}, new(api.ReadResult))
		_, _ = c.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "written"}}})
	}
	all := hot.Hottest(time.Now())
	if len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	for _, x := range all {
		if (x.Reads > 0) != (x.Key == "read") || (x.Writes > 0) != (x.Key == "written") {
			t.Errorf("%+v", x)
		}
	}
}

// TestDeniedKeysAreNotHot: a caller cannot push keys that it may not use into the list.
func TestDeniedKeysAreNotHot(t *testing.T) {
	hot := slow.NewHot()
	c := New(Config{Store: &slowStore{}, HotKeys: hot, Access: asking(func(_ *Principal, asked string) error {
		if strings.HasPrefix(asked, "enter") {
			return nil
		}
		return api.CodeDenied
	})}).For(t.Context())
	for range 20_000 {
		_ = c.Read(t.Context(), &api.ReadRequest{Keys: []api.Key{"read"}}, new(api.ReadResult))
		_, _ = c.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "written"}}})
	}
	if all := hot.Hottest(time.Now()); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// TestQuickReadsCostNothing: noting a read that is quick allocates nothing.
func TestQuickReadsCostNothing(t *testing.T) {
	b := New(Config{Store: &slowStore{}, SlowLog: slow.NewLog(), HotKeys: slow.NewHot()})
	var n Note
	c, ctx := b.For(t.Context()).Noting(&n), t.Context()
	q, out := &api.ReadRequest{Keys: []api.Key{"k"}}, new(api.ReadResult)
	l := Labels{Front: "http", Route: "kv"}
	if allocs := testing.AllocsPerRun(1000, func() {
		n = Note{}
		_ = c.Read(ctx, q, out)
		b.Slow(ctx, l, &n, time.Now(), 10*time.Microsecond)
	}); allocs != 0 {
		t.Errorf("%v allocations a read", allocs)
	}
}
