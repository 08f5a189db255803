package kvconnect

import (
	"context"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// shown is a store whose reads and lists are what a test says.
type shown struct {
	*storetest.Memory
	entries func(keys []api.Key) []api.Entry
	pages   []api.ListPage // the first is the page of the siblings
}

func (s *shown) Read(_ context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	*out = api.ReadResult{Entries: s.entries(r.Keys)}
	return nil
}

func (s *shown) List(context.Context, *api.ListRequest) (*api.ListResult, error) {
	return &api.ListResult{Entries: s.pages[0].Entries, More: s.pages[0].More, Also: s.pages[1:]}, nil
}

func (s *shown) caller(ctx context.Context) front.Caller {
	return front.New(front.Config{Store: s, Lister: s}).For(ctx)
}

// TestHalfExpired: a value whose end a lease holds up, while its sibling has expired, is not shown in a wrong encoding. It is absent, and
// a page that would be shorter for that is asked for again, since clients take a short page for the last one.
func TestHalfExpired(t *testing.T) {
	d := database{"db"}
	key := []byte{2, 'k', 0}
	data := api.Entry{Key: d.data(key), Value: []byte("12345678"), Exists: true, Version: api.Version{Epoch: 1, Index: 9}, TTL: time.Minute}
	meta := api.Entry{Key: d.meta(key), Value: []byte(metaLE64), Exists: true, TTL: time.Minute}
	overdue, gone := data, api.Entry{Key: meta.Key}
	overdue.TTL = time.Millisecond // what a store says of an overdue key
	for name, c := range map[string]struct {
		row  row
		want encoding // 0: it is absent
	}{
		"alive":                         {row{data, meta}, encodingLE64},
		"without a sibling":             {row{data, gone}, encodingV8},
		"overdue":                       {row{overdue, meta}, encodingLE64},
		"overdue and without a sibling": {row{overdue, gone}, 0},
	} {
		var got encoding
		if e := c.row.entry(key); e != nil {
			got = e.encoding
		}
		if got != c.want {
			t.Errorf("%s: it is shown in the encoding %d, want %d", name, got, c.want)
		}
	}
	ranges := []readRange{{start: []byte{2}, end: []byte{3}, limit: 1}}
	for _, more := range []bool{false, true} {
		s := &shown{pages: []api.ListPage{{}, {Entries: []api.Entry{overdue}, More: more}}}
		out, err := list(t.Context(), s.caller(t.Context()), d, ranges)
		if more && api.CodeOf(err) != api.CodeUnavailable || !more && (err != nil || len(out[0]) != 0) {
			t.Errorf("more %v: %+v, %v", more, out, err)
		}
	}
}

// TestWatchOfElided: a value that an event leaves out is read before it is sent, also if the event comes during another such read.
func TestWatchOfElided(t *testing.T) {
	d := database{"db"}
	key := []byte{2, 'k', 0}
	event := func(index uint64) *api.WatchBatch {
		return &api.WatchBatch{Cursor: "c", Events: []api.Event{
			{Kind: api.EventPut, Key: d.data(key), Version: api.Version{Epoch: 1, Index: index}, Elided: true}}}
	}
	var w *watch
	reads := 0
	s := &shown{entries: func(keys []api.Key) []api.Entry {
		e := api.Entry{Key: keys[0], Value: []byte("whole"), Exists: true, Version: api.Version{Epoch: 1, Index: 5}}
		if reads++; reads == 1 { // the read shows what was before the event
			w.take(event(6))
		} else {
			e.Version.Index = 6
		}
		return []api.Entry{e, {Key: keys[1]}}
	}}
	w = &watch{x: &door.Exchange{Store: s.caller(t.Context())}, database: d, keys: [][]byte{key}, ctx: t.Context(),
		at: map[api.Key][]place{d.data(key): {{0, false}}}, next: make([]row, 1), rows: make([]row, 1)}
	w.take(event(5))
	rows, err := w.now()
	if err != nil || string(rows[0].data.Value) != "whole" || rows[0].data.Version.Index != 6 {
		t.Errorf("%d reads: %+v, %v", reads, rows, err)
	}
}
