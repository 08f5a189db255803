package watch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
)

// both writes a key of each of two ranges at once.
func (w *world) both(t *testing.T, value any) {
	t.Helper()
	if !w.write(map[api.Key]string{"a/x": fmt.Sprint(value), "b/y": fmt.Sprint(value)}) {
		t.Fatal("the two ranges are not of one group")
	}
}

// divided is a world whose groups own both of two ranges, a/ and b/.
func divided(groups ...api.GroupID) *world {
	w := newWorld(groups...)
	w.divide("b/")
	return w
}

// TestOneFeedOfAGroup: what a group wrote at once in two of its ranges comes in one batch, and a watch that is cut off anywhere goes on
// with whole ones. The two ranges cost one feed.
func TestOneFeedOfAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := divided("g")
		start := watch(t, w.hub(t), api.WatchRequest{Range: prefix("")})
		start.next()
		for i := range 10 {
			w.both(t, i)
		}
		all := watch(t, w.hub(t), api.WatchRequest{Range: prefix(""), From: start.cursor})
		all.take(20)
		if synctest.Wait(); w.feeds != 2 { // that of start, and this one
			t.Errorf("%d feeds", w.feeds)
		}
		for cut := range 12 {
			c := watch(t, w.hub(t), api.WatchRequest{Range: prefix(""), From: start.cursor})
			for range cut {
				c.next()
			}
			if c.whole != max(0, cut-1)*2 {
				t.Errorf("after %d batches %d events are whole", cut, c.whole)
			}
			rest := watch(t, w.hub(t), api.WatchRequest{Range: prefix(""), From: c.cursor})
			rest.take(20 - c.whole)
			rest.log, rest.cuts = append(c.log[:c.whole:c.whole], rest.log...), nil
			w.judge(t, rest, prefix(""))
		}
	})
}

// TestNowIsOnePosition: a watch from now begins at one position of a group, however late each range says where it is. What the group
// changed after its first answer comes as a whole.
func TestNowIsOnePosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := divided("g")
		var n atomic.Int64
		w.onNow = func() { w.both(t, n.Add(1)) }
		c := watch(t, w.hub(t), api.WatchRequest{Range: prefix("")})
		c.next()
		w.onNow = nil
		begins := decoded(t, c.cursor).Pieces
		w.both(t, "after")
		for range 10 {
			c.next()
		}
		between := "" // what came between the answers, if anything did
		if len(c.log) > 2 {
			between = "a/x=2 b/y=2 "
		}
		if len(begins) != 2 || begins[0].At != begins[1].At || c.text() != between+"a/x=after b/y=after " {
			t.Errorf("%+v, told %s", begins, c.text())
		}
	})
}

// TestWaitsForWhatMovedIn: a group that takes over a second range of a watch tells nothing of the first from then on, until the watch has
// all that the earlier owner of the second told.
func TestWaitsForWhatMovedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := divided("h")
		w.move(api.Range{End: "b/"}, 2, []api.GroupID{"h"}, "g")
		start := watch(t, w.hub(t), api.WatchRequest{Range: prefix("")})
		start.next()
		w.put("b/old", "h")
		w.put("a/before", "g")
		w.move(api.Range{Start: "b/"}, 2, []api.GroupID{"h"}, "g")
		w.both(t, 1)
		w.down["h"] = true
		c := watch(t, w.hub(t), api.WatchRequest{Range: prefix(""), From: start.cursor})
		c.take(1)
		if b := c.next(); len(b.Events) > 0 || b.Age < 5*time.Second {
			t.Fatalf("told %s, %+v", c.text(), b)
		}
		w.mu.Lock()
		delete(w.down, "h")
		w.mu.Unlock()
		w.both(t, 2)
		c.take(6)
		w.both(t, 3)
		c.take(8)
		w.judge(t, c, prefix(""))
		if len(c.gaps) > 0 || c.text()[:len("a/before=g b/old=h ")] != "a/before=g b/old=h " {
			t.Errorf("gaps %v, told %s", c.gaps, c.text())
		}
	})
}

// TestHaltsNoOthers: a watch that waits for an earlier owner, which cannot be reached, holds no watch up at its node that does not need that
// owner: of the same range or of a part of it. Once the owner is back, it goes on, and leaves nothing behind.
func TestHaltsNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := divided("h")
		w.move(api.Range{End: "b/"}, 2, []api.GroupID{"h"}, "g")
		hub := w.hub(t)
		waits := watch(t, hub, api.WatchRequest{Range: prefix("")})
		waits.next()
		down := func(is bool) {
			w.mu.Lock()
			w.down["h"] = is
			w.mu.Unlock()
			w.fail()
		}
		down(true)
		w.move(api.Range{Start: "b/"}, 2, []api.GroupID{"h"}, "g")
		w.both(t, 0)
		for range 2 {
			waits.next()
		}
		others := []*client{waits}
		for i, x := range []struct {
			of   api.Range
			want int
		}{{prefix("a/"), 1}, {prefix(""), 2}, {prefix(""), 2}} {
			c := watch(t, hub, api.WatchRequest{Range: x.of})
			c.next()
			w.both(t, 1+i)
			c.take(x.want)
			others = append(others, c)
		}
		others = append(others, watch(t, hub, api.WatchRequest{Range: prefix(""), From: waits.cursor}))
		sources := func() int {
			hub.mu.Lock()
			defer hub.mu.Unlock()
			return len(hub.sources)
		}
		if n := sources(); n != 2 || len(waits.log) > 0 {
			t.Errorf("%d sources are to be shared, told %s", n, waits.text())
		}
		down(false)
		waits.take(8)
		w.judge(t, waits, prefix(""))
		for _, c := range others {
			_ = c.s.Close()
		}
		synctest.Wait()
		if n := sources(); n != 0 || hub.upstreams.Load() != 0 {
			t.Errorf("%d sources with %d feeds are left", n, hub.upstreams.Load())
		}
	})
}

// TestNotAdopted: a range that its new owner has not taken over yet delays none of that group's other ranges.
func TestNotAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := divided("h")
		w.move(api.Range{End: "b/"}, 2, []api.GroupID{"h"}, "g")
		c := watch(t, w.hub(t), api.WatchRequest{Range: prefix("")})
		c.next()
		w.cede(api.Range{Start: "b/"}, "h", "g")
		time.Sleep(time.Second)
		w.put("a/k", "v")
		c.take(1)
		w.adopt(api.Range{Start: "b/"}, 2, "g")
		w.learn()
		w.both(t, 1)
		c.take(3)
		w.judge(t, c, prefix(""))
	})
}

// TestOlderLeaders: of a group whose leader serves one range at a time all is told, and once it serves several, together.
func TestOlderLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := divided("g")
		w.old = true
		c := watch(t, w.hub(t), api.WatchRequest{Range: prefix("")})
		c.next()
		for i := range 5 {
			w.both(t, i)
		}
		c.take(10)
		w.mu.Lock()
		w.old, w.told = false, nil
		w.mu.Unlock()
		w.fail()
		for until := time.Now().Add(2 * apartTime); time.Now().Before(until); {
			c.next()
		}
		c.log, c.cuts = nil, nil
		for i := range 5 {
			w.both(t, 5+i)
		}
		c.take(10)
		w.judge(t, c, prefix(""))
		if len(c.gaps) > 0 {
			t.Errorf("gaps %v", c.gaps)
		}
	})
}

// TestOneOfTwoIsGone: if a group has forgotten one of two ranges of a feed, only that one has a gap.
func TestOneOfTwoIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := divided("g")
		start := watch(t, w.hub(t), api.WatchRequest{Range: prefix("")})
		start.next()
		w.both(t, 1)
		w.move(api.Range{Start: "b/"}, 2, []api.GroupID{"g"}, "h")
		w.forget("g")
		w.put("a/k", "v")
		w.put("b/k", "v")
		c := watch(t, w.hub(t), api.WatchRequest{Range: prefix(""), From: start.cursor})
		c.take(3)
		w.judge(t, c, prefix(""))
		want := []api.Gap{{Range: api.Range{Start: "b/"}, Reason: api.GapGone}}
		if !slices.Equal(c.gaps, want) || len(c.log) != 3 {
			t.Errorf("gaps %v, told %s", c.gaps, c.text())
		}
	})
}

// TestOldCursors: a cursor whose ranges of one group are at different positions, as those of older nodes are, is continued: of each range
// from its own, and a trim leaves a gap only in a range that lacks something.
func TestOldCursors(t *testing.T) {
	for _, trim := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := divided("g")
			for i := range 6 {
				w.both(t, i)
			}
			if trim {
				w.mu.Lock()
				w.groups["g"].floor = 4
				w.groups["g"].history = slices.DeleteFunc(w.groups["g"].history, func(e told) bool { return e.index <= 4 })
				w.mu.Unlock()
			}
			old := &cursor.Cursor{Range: prefix(""), Pieces: []cursor.Piece{
				{Piece: words.Piece{Range: api.Range{End: "b/"}, Of: 1, Epoch: 1, Group: "g"}, At: words.Position{Incarnation: 1, Index: 3}},
				{Piece: words.Piece{Range: api.Range{Start: "b/"}, Of: 1, Epoch: 1, Group: "g"}, At: words.Position{Incarnation: 1, Index: 5}},
			}}
			from, err := old.Encode()
			if err != nil {
				t.Fatal(err)
			}
			c := watch(t, w.hub(t), api.WatchRequest{Range: prefix(""), From: from})
			w.both(t, 6)
			want, gaps := "a/x=2 a/x=3 a/x=4 b/y=4 a/x=5 b/y=5 a/x=6 b/y=6 ", 0
			if trim {
				want, gaps = want[len("a/x=2 "):], 1
			}
			for len(c.text()) < len(want) {
				c.next()
			}
			if c.text() != want || len(c.gaps) != gaps || gaps > 0 && c.gaps[0].Range != (api.Range{End: "b/"}) {
				t.Errorf("trim %v: told %s, want %s; gaps %v", trim, c.text(), want, c.gaps)
			}
		})
	}
}

// TestShardsThatSwap: a watch that learns of the shard of a range that a group took over before it learns of the one that the group gave up
// earlier tells all of both, and of the group's other range.
func TestShardsThatSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		low, high := api.Range{End: "b/"}, api.Range{Start: "b/"}
		w := divided("x")
		w.move(low, 2, []api.GroupID{"x"}, "g")
		w.move(high, 2, []api.GroupID{"x"}, "x", "h")
		start := watch(t, w.hub(t), api.WatchRequest{Range: prefix("")})
		start.next()
		n := 0
		write := func() {
			for i := range 8 {
				w.put(api.Key(fmt.Sprintf("b/%d/k", i)), fmt.Sprint(n))
				n++
			}
			w.put("a/k", fmt.Sprint(n))
			n++
		}
		write()
		w.move(high, 3, []api.GroupID{"x", "h"}, "g", "k")
		write()
		w.move(high, 4, []api.GroupID{"g", "k"}, "k", "g")
		write()
		w.down["x"] = true
		c := watch(t, w.hub(t), api.WatchRequest{Range: prefix(""), From: start.cursor})
		for until := time.Now().Add(20 * time.Second); time.Now().Before(until); { // of shard 1 it comes as far as g
			c.next()
		}
		w.mu.Lock()
		delete(w.down, "x")
		w.mu.Unlock()
		for until := time.Now().Add(time.Minute); len(c.log) < n && time.Now().Before(until); {
			c.next()
		}
		if len(c.log) != n || len(c.gaps) > 0 {
			t.Fatalf("%d of %d events, gaps %v, at %+v", len(c.log), n, c.gaps, decoded(t, c.cursor).Pieces)
		}
		w.judge(t, c, prefix(""))
	})
}

// lateNow is a world in which a group is asked for its present position of a piece, at an epoch at least, only after something has
// happened, once.
type lateNow struct {
	*world
	group  api.GroupID
	epoch  uint64
	happen func()
	once   sync.Once
}

func (l *lateNow) Feed(ctx context.Context, r *words.FeedRequest) (words.Feed, error) {
	if r.Now && r.Group == l.group && r.Epoch >= l.epoch {
		l.once.Do(func() {
			time.Sleep(time.Second) // the others have answered
			l.happen()
		})
	}
	return l.world.Feed(ctx, r)
}

// watch begins a watch of all keys.
func (l *lateNow) watch(t *testing.T) *client {
	t.Helper()
	h, err := New(Config{Feeder: l, Lister: l, Map: l.placement})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	c := watch(t, h, api.WatchRequest{Range: prefix("")})
	c.next()
	return c
}

// TestNowOverAMove: a watch from now does not begin within what a group wrote at once in two ranges, if it took one of them over after
// the earlier owner was asked for its position and before it said its own. It does not need a new map.
func TestNowOverAMove(t *testing.T) {
	for _, learns := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := divided("h")
			w.move(api.Range{Start: "b/"}, 2, []api.GroupID{"h"}, "g")
			l := &lateNow{world: w, group: "g", happen: func() {
				low := api.Range{End: "b/"}
				w.cede(low, "h", "g")
				w.adopt(low, 2, "g")
				if w.both(t, "during"); learns {
					w.learn()
				}
			}}
			c := l.watch(t)
			w.both(t, "after")
			c.take(2)
			if p := decoded(t, c.cursor).Pieces; len(p) != 2 || p[0].At != p[1].At || c.text() != "a/x=after b/y=after " {
				t.Errorf("%+v, told %s", p, c.text())
			}
		})
	}
}

// TestNowOverAReturn: a watch from now asks a group for a third range after it has answered for two of them. One of these leaves the group
// meanwhile and comes back, and then a transaction writes to both: it comes as a whole.
func TestNowOverAReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := divided("g")
		third, second := api.Range{Start: "c/"}, api.Range{Start: "b/", End: "c/"}
		w.move(third, 2, []api.GroupID{"g"}, "h")
		w.cede(third, "h", "g")
		w.adopt(third, 3, "g") // of which the map does not know
		l := &lateNow{world: w, group: "g", epoch: 3, happen: func() {
			w.cede(second, "g", "h")
			w.adopt(second, 2, "h")
			w.cede(second, "h", "g")
			w.adopt(second, 3, "g")
			w.both(t, "during")
		}}
		c := l.watch(t)
		w.both(t, "after")
		for range 10 {
			c.next()
		}
		if want := "a/x=during b/y=during a/x=after b/y=after "; c.text() != want || len(c.gaps) > 0 {
			t.Errorf("told %s, want %s; gaps %v", c.text(), want, c.gaps)
		}
		w.judge(t, c, prefix(""))
	})
}

// TestNowOverAVisit: a watch from now does not begin within what a group wrote at once in two ranges, if one of them came to it and left
// again after the owner of that range had answered and before the group did.
func TestNowOverAVisit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := divided("h")
		w.move(api.Range{Start: "b/"}, 2, []api.GroupID{"h"}, "g")
		l := &lateNow{world: w, group: "g", happen: func() {
			first := api.Range{End: "b/"}
			w.cede(first, "h", "g")
			w.adopt(first, 2, "g")
			w.both(t, "during")
			w.cede(first, "g", "h")
			w.adopt(first, 3, "h")
		}}
		c := l.watch(t)
		w.put("a/x", "after")
		w.put("b/y", "after")
		for range 10 {
			c.next()
		}
		if c.text() != "a/x=after b/y=after " && c.text() != "b/y=after a/x=after " {
			t.Errorf("told %s", c.text())
		}
	})
}
