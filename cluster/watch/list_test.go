package watch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// page lists a page of the prefix, after the key, with the cursor of the page before.
func page(t *testing.T, h *Hub, r api.Range, limit int, before *words.ListResult) *words.ListResult {
	t.Helper()
	q := words.ListRequest{ListRequest: api.ListRequest{Range: r, Limit: limit}}
	if before != nil {
		q.Range.Start, q.Cursor = before.Entries[len(before.Entries)-1].Key+"\x00", before.Cursor
	}
	res, err := h.List(t.Context(), &q)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestListCursor: a watch from the cursor of the last page tells all that changed since the first page was read, in any page, and in any
// of several groups.
func TestListCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g", "h")
		h := w.hub(t)
		r := prefix("d/")
		state := map[api.Key]string{}
		for i := range 30 {
			w.put(api.Key(fmt.Sprintf("d/%02d/k", i)), "0")
		}
		n := 0
		change := func() {
			n++
			w.put(api.Key(fmt.Sprintf("d/%02d/k", n*7%30)), fmt.Sprint(n))
			w.put(api.Key(fmt.Sprintf("d/%02d/k", n*11%30)), "")
		}
		w.onList = change // between the groups of a page
		var res *words.ListResult
		for res == nil || res.More {
			res = page(t, h, r, 7, res)
			for _, e := range res.Entries {
				state[e.Key] = string(e.Value)
			}
			change()
		}
		c := watch(t, h, api.WatchRequest{Range: r, From: res.Cursor})
		w.put("d/end", "x")
		for state["d/end"] == "" {
			for _, e := range c.next().Events {
				if state[e.Key] = string(e.Value); e.Kind == api.EventDelete {
					delete(state, e.Key)
				}
			}
		}
		synctest.Wait()
		for len(c.next().Events) > 0 { // of the other group
			for _, e := range c.log {
				if state[e.Key] = string(e.Value); e.Kind == api.EventDelete {
					delete(state, e.Key)
				}
			}
		}
		w.same(t, r, state)
		if at := decoded(t, res.Cursor); len(at.Pieces) != 2 {
			t.Errorf("%d pieces", len(at.Pieces))
		}
	})
}

// TestListCursorOfPart: the cursor of a page that is not the last one, or of a list of a part, continues no watch of the whole.
func TestListCursorOfPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g", "h")
		h := w.hub(t)
		for i := range 10 {
			w.put(api.Key(fmt.Sprintf("d/%d", i)), "v")
		}
		first := page(t, h, prefix("d/"), 3, nil)
		lost := page(t, h, prefix("d/"), 100, &words.ListResult{ListResult: api.ListResult{Entries: first.Entries}}) // without its cursor
		for _, c := range []api.Cursor{first.Cursor, lost.Cursor} {
			if _, err := h.Watch(t.Context(), &api.WatchRequest{Range: prefix("d/"), From: c}); api.CodeOf(err) != api.CodeInvalid {
				t.Error(err)
			}
		}
		q := words.ListRequest{ListRequest: api.ListRequest{Range: prefix("e/"), Cursor: first.Cursor}}
		if _, err := h.List(t.Context(), &q); api.CodeOf(err) != api.CodeInvalid {
			t.Error(err)
		}
		q.Cursor = "no cursor"
		if _, err := h.List(t.Context(), &q); api.CodeOf(err) != api.CodeInvalid {
			t.Error(err)
		}
	})
}

// TestLongList: a list that takes longer than the history lasts is complete, without beginning again: the watch beside it goes along.
func TestLongList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		for i := range 40 {
			w.put(api.Key(fmt.Sprintf("d/%02d", i)), "0")
		}
		value, n := strings.Repeat("v", 200_000), 0
		slow := listerFunc(func(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
			small := *q
			small.Limit = 2
			res, err := w.List(ctx, &small)
			for range 5 { // 1 MB a page, over 20 pages: the ring has room for 4
				n++
				w.put(api.Key(fmt.Sprintf("d/%02d", n*7%40)), value)
			}
			synctest.Wait()
			w.trim("g")
			return res, err
		})
		h, err := New(Config{Feeder: w, Lister: slow, Map: w.placement})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		first := watch(t, h, api.WatchRequest{Range: prefix("d/")}) // has a source open
		first.next()
		time.Sleep(time.Second)
		m := follow(t, h, api.WatchRequest{Range: prefix("d/")})
		for !m.ready && m.resets < 3 {
			m.next(func(api.Event) bool { return false })
		}
		w.same(t, prefix("d/"), m.values())
		if m.resets > 0 || n < 100 {
			t.Errorf("%d resets, %d changes meanwhile", m.resets, n)
		}
	})
}

// TestListForTheSlow: a page of a list comes in parts, so that a watcher that is slow is not taken for one that takes nothing.
func TestListForTheSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		value := strings.Repeat("v", 50_000)
		for i := range 20 { // one page
			w.put(api.Key(fmt.Sprintf("a/%02d", i)), value)
		}
		c := watch(t, w.hub(t), api.WatchRequest{Range: prefix("a/"), List: true})
		for !c.ready {
			if b := c.next(); len(b.Events) > 2 {
				t.Fatalf("%d events of 50 kB at once", len(b.Events))
			}
			time.Sleep(20 * time.Second) // 5 kB a second
		}
		if len(c.log) != 20 || c.log[19].Key != "a/19" {
			t.Errorf("listed %d: %s", len(c.log), c.text())
		}
	})
}

// same compares a state that a client has with the world's.
func (w *world) same(t *testing.T, r api.Range, state map[api.Key]string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, g := range w.groups {
		for k, e := range g.keys {
			if !r.Contains(k) {
				continue
			}
			if n++; state[k] != string(e.Value) {
				t.Errorf("%s is %q, want %q", k, state[k], e.Value)
			}
		}
	}
	if n != len(state) {
		t.Errorf("%d keys, want %d", len(state), n)
	}
}

// mirror is a client that keeps the state of a list and a watch, and demands that no key goes back.
type mirror struct {
	*client
	state map[api.Key]api.Event
	seen  map[api.Key]api.Version
}

func follow(t *testing.T, h *Hub, r api.WatchRequest) *mirror {
	r.List = true
	return &mirror{watch(t, h, r), map[api.Key]api.Event{}, map[api.Key]api.Version{}}
}

// next takes a batch. read is what a page had read when it was told: a key that it lacked does not come back.
func (m *mirror) next(back func(e api.Event) bool) *api.WatchBatch {
	m.t.Helper()
	b := m.client.next()
	if b.Reset {
		clear(m.state)
		clear(m.seen)
	}
	for _, e := range b.Events {
		if e.Version.Compare(m.seen[e.Key]) <= 0 || back(e) {
			m.t.Errorf("%s goes back to version %v", e.Key, e.Version)
		}
		m.seen[e.Key], m.state[e.Key] = e.Version, e
		if e.Kind == api.EventDelete {
			delete(m.state, e.Key)
		}
	}
	return b
}

func (m *mirror) values() map[api.Key]string {
	all := map[api.Key]string{}
	for k, e := range m.state {
		all[k] = string(e.Value)
	}
	return all
}
