package watch

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

// fromOldest begins a watch with the oldest change that is kept.
func fromOldest(t *testing.T, h *Hub, r api.Range) *client {
	t.Helper()
	return watch(t, h, api.WatchRequest{Range: r, From: api.Oldest})
}

// begun takes all batches up to Ready, and demands just these gaps, in order, and no id before Ready.
func (c *client) begun(gaps ...api.Gap) {
	c.t.Helper()
	c.cursor = ""
	for !c.ready {
		if b := c.next(); b.Gap != nil && b.Cursor != "" || b.Ready && b.Cursor == "" || len(b.Events) > 0 {
			c.t.Fatalf("it begins with %+v", b)
		}
	}
	if fmt.Sprint(c.gaps) != fmt.Sprint(gaps) {
		c.t.Fatalf("the gaps are %v, want %v", c.gaps, gaps)
	}
}

// TestOldest: a watch from the oldest change delivers all that there was, without a gap if the owners have all since they were founded; and
// then what comes. It goes on from any id.
func TestOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g", "h")
		now := watch(t, w.hub(t), api.WatchRequest{Range: prefix("d/")})
		now.next()
		for i := range 20 {
			w.put(api.Key(fmt.Sprintf("d/%d/k", i%7)), fmt.Sprint(i))
		}
		w.put("d/3/k", "")
		w.put("e/other", "of another prefix")
		c := fromOldest(t, w.hub(t), prefix("d/"))
		c.begun()
		c.take(21)
		w.put("d/9/k", "live")
		c.take(22)
		now.take(22)
		w.judge(t, c, prefix("d/"))
		rest := watch(t, w.hub(t), api.WatchRequest{Range: prefix("d/"), From: c.cursor})
		w.put("d/9/k", "later")
		if got := rest.until(1); got != "d/9/k=later " {
			t.Errorf("from its id: %s", got)
		}
	})
}

// TestOldestOfAKey: also of a key that is gone by now, and at a node where others watch from now.
func TestOldestOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		w.put("a/k", "1")
		w.put("a/k", "")
		w.put("a/k2", "another")
		live := watch(t, h, api.WatchRequest{Range: api.Range{Start: "a/k", End: "a/k\x00"}})
		live.next()
		c := fromOldest(t, h, api.Range{Start: "a/k", End: "a/k\x00"})
		c.begun()
		w.put("a/k", "2")
		if got := c.until(3); got != "a/k=1 a/k- a/k=2 " {
			t.Errorf("delivered %s", got)
		}
		if got := live.until(1); got != "a/k=2 " {
			t.Errorf("from now: delivered %s", got)
		}
	})
}

// TestOldestOfOneGroup: what a group wrote at once in two of its ranges comes together from the beginning, by one feed.
func TestOldestOfOneGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := divided("g")
		for i := range 10 {
			w.both(t, i)
		}
		feeds := w.feeds
		c := fromOldest(t, w.hub(t), prefix(""))
		c.begun()
		c.take(20)
		w.judge(t, c, prefix(""))
		if n := w.feeds - feeds; n != 3 { // a question about each range, and the feed
			t.Errorf("%d feeds", n)
		}
	})
}

// TestOldestIsTrimmed: what is not kept any more is said in front, once for all shards of a range, and what is kept follows.
func TestOldestIsTrimmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g", "h")
		for i := range 20 {
			w.put(api.Key(fmt.Sprintf("d/%d/k", i)), "gone")
		}
		w.trim("g")
		w.trim("h")
		w.put("d/1/k", "kept")
		w.put("d/1/k", "")
		c := fromOldest(t, w.hub(t), prefix("d/"))
		c.begun(api.Gap{Range: prefix("d/"), Reason: api.GapTrimmed})
		if got := c.until(2); got != "d/1/k=kept d/1/k- " {
			t.Errorf("delivered %s", got)
		}
	})
}

// TestOldestOfWhatMovedIn: a group that took a range over has not what happened before. That is said, also if nothing was trimmed, and of
// that range alone.
func TestOldestOfWhatMovedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := divided("h")
		w.put("a/k", "kept")
		w.put("b/k", "at the old owner")
		w.move(api.Range{Start: "b/"}, 2, []api.GroupID{"h"}, "g")
		w.put("b/k", "at the new owner")
		c := fromOldest(t, w.hub(t), prefix(""))
		c.begun(api.Gap{Range: api.Range{Start: "b/"}, Reason: api.GapGone})
		c.take(2)
		if has := map[string]bool{text(c.log[0]): true, text(c.log[1]): true}; !has["a/k=kept "] || !has["b/k=at the new owner "] {
			t.Errorf("delivered %s", c.text())
		}
		only := fromOldest(t, w.hub(t), prefix("a/"))
		only.begun()
		only.take(1)
	})
}

// TestOldestByAnOldMap: a node that knows only the old owner of a range delivers what that one has, and then what the new owner has. If the old
// owner keeps nothing from before it gave the range up, the watch begins at the new one.
func TestOldestByAnOldMap(t *testing.T) {
	for _, trimmed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld("h")
			old := w.placement()
			h, err := New(Config{Feeder: w, Lister: w, Map: func() *placement.Map { return old }})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			w.put("b/k", "1")
			w.cede(api.Range{}, "h", "g")
			if trimmed {
				w.trim("h")
			}
			w.adopt(api.Range{}, 2, "g")
			w.put("b/k", "2")
			c := fromOldest(t, h, prefix("b/"))
			if !trimmed {
				c.begun()
				if got := c.until(2); got != "b/k=1 b/k=2 " {
					t.Errorf("delivered %s", got)
				}
				return
			}
			c.begun(api.Gap{Range: prefix("b/"), Reason: api.GapTrimmed}, api.Gap{Range: prefix("b/"), Reason: api.GapGone})
			if got := c.until(1); got != "b/k=2 " {
				t.Errorf("delivered %s", got)
			}
		})
	}
}

// TestOldestOfWhatIsDown: a watch does not begin without an owner, and says so in time.
func TestOldestOfWhatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g", "h")
		w.down["h"] = true
		h := w.hub(t)
		_, err := h.Watch(t.Context(), &api.WatchRequest{Range: prefix(""), From: api.Oldest})
		if api.CodeOf(err) != api.CodeUnavailable || api.AsError(err).RetryAfter == 0 {
			t.Errorf("got %v", err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.watchers) != 0 || len(h.sources) != 0 {
			t.Errorf("%d watches and %d sources are left", len(h.watchers), len(h.sources))
		}
	})
}

// TestOldestOfManyChanges: over changes of leaders, moves, trims and lost receipts a watch from the oldest change delivers, of each key, every
// version since some moment: the first one, if no gap says otherwise, and if nothing was trimmed, that at which the present owner took
// the key over.
func TestOldestOfManyChanges(t *testing.T) {
	for seed := range seeds() {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { oldestOfMany(t, newWideDriver(seed, seed%3 == 2)) })
		})
	}
}

func oldestOfMany(t *testing.T, d *driver) {
	h := d.w.hub(t)
	for range 150 {
		d.step()
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := &client{t: t}
	var known *placement.Map
	done := make(chan struct{})
	go func() {
		defer close(done)
		var s api.WatchStream
		for ctx.Err() == nil && s == nil {
			s, _ = h.Watch(ctx, &api.WatchRequest{Range: prefix("d/"), From: api.Oldest}) // a move may last
		}
		known = d.w.placement()
		for ctx.Err() == nil {
			if b, err := s.Next(); err == nil {
				c.keep(b)
			}
		}
	}()
	for range 150 {
		d.step()
	}
	time.Sleep(time.Minute)
	cancel()
	<-done
	d.w.judge(t, c, prefix("d/"))
	if !d.lossy {
		d.w.since(t, c, known)
	}
}

// since demands that a client got the last versions of each key: at least those of the epochs from that of the map on.
func (w *world) since(t *testing.T, c *client, known *placement.Map) {
	t.Helper()
	got := map[api.Key][]api.Event{}
	for _, e := range c.log {
		got[e.Key] = append(got[e.Key], e)
	}
	n := map[api.Key]int{}
	for _, e := range slices.Backward(w.told) {
		n[e.Key]++
		at := len(got[e.Key]) - n[e.Key]
		switch {
		case at >= 0:
			if got[e.Key][at].Version != e.Version {
				t.Errorf("%s: version %v stands where %v should", e.Key, got[e.Key][at].Version, e.Version)
			}
		case e.Version.Epoch >= epochOf(known, e.Key):
			t.Errorf("%s: version %v was not delivered", e.Key, e.Version)
		}
	}
}

func epochOf(m *placement.Map, k api.Key) uint64 {
	for _, s := range m.Ranges {
		if s.Range.Contains(k) {
			return s.Epoch
		}
	}
	return 0
}
