package storetest_test

import (
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestMemory runs each case in a bubble of its own, so that times to live take no time.
func TestMemory(t *testing.T) {
	o := storetest.Options{Time: true, Functions: true, Together: true}
	for _, c := range storetest.Cases(o) {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.Run(t, storetest.NewMemory()) })
		})
	}
	for _, c := range storetest.ListCases(o) {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.Run(t, storetest.NewMemory()) })
		})
	}
	for _, c := range storetest.WatchCases(o) {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.Run(t, storetest.NewMemory()) })
		})
	}
}

// TestMemoryShared runs all cases on one Store with a prefix, as is done for Stores that are expensive to open.
func TestMemoryShared(t *testing.T) {
	shared := storetest.NewMemory()
	storetest.RunLister(t, func(*testing.T) storetest.ListStore { return shared }, storetest.Options{Prefix: "us-east/", Together: true})
}

func TestMemorySingleKey(t *testing.T) {
	storetest.Run(t, func(*testing.T) api.Store { return storetest.NewMemory() }, storetest.Options{SingleKey: true})
}

// TestMemoryWatchGap: a cursor from before the history meets a gap and goes on behind it; a watch that lists says that it begins
// again, and does.
func TestMemoryWatchGap(t *testing.T) {
	m := storetest.NewMemory()
	put := func(k api.Key) {
		if _, err := m.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k}}}); err != nil {
			t.Fatal(err)
		}
	}
	put("a")
	page, err := m.List(t.Context(), &api.ListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next := func(s api.WatchStream) *api.WatchBatch {
		b, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	listing, err := m.Watch(t.Context(), &api.WatchRequest{List: true})
	if err != nil {
		t.Fatal(err)
	}
	if b := next(listing); len(b.Events) != 1 || !next(listing).Ready {
		t.Fatalf("got %+v", b)
	}
	put("b")
	m.TrimHistory()
	s, err := m.Watch(t.Context(), &api.WatchRequest{From: page.Cursor})
	if err != nil {
		t.Fatal(err)
	}
	gap := next(s)
	put("c")
	ready, c := next(s), next(s)
	if gap.Gap == nil || gap.Gap.Reason != api.GapTrimmed || gap.Cursor == "" || !ready.Ready || len(c.Events) != 1 || c.Events[0].Key != "c" {
		t.Errorf("got %+v, %+v, %+v", gap, ready, c)
	}
	if b := next(listing); !b.Reset {
		t.Errorf("got %+v, want a reset", b)
	}
	if b := next(listing); len(b.Events) != 3 || !next(listing).Ready {
		t.Errorf("got %+v, want all of three", b)
	}
}
