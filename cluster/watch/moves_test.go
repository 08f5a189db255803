package watch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestFollowsMoves: a watch follows its range to new owners and misses nothing: what is written there before the watch comes, while one
// of several old owners still writes, while parts of the range stay.
func TestFollowsMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g", "h")
		hub := w.hub(t)
		c := watch(t, hub, api.WatchRequest{Range: prefix("d/")})
		c.next()
		n := 0
		write := func() {
			for i := range 20 {
				w.put(api.Key(fmt.Sprintf("d/%d/k", i)), fmt.Sprint(n))
				n++
			}
		}
		write()
		r := prefix("d/1")
		w.cede(r, "g", "x", "y", "z")
		written := n
		for i := range 20 {
			if k := api.Key(fmt.Sprintf("d/%d/k", i)); !r.Contains(k) {
				w.put(k, "beside")
				n++
			}
		}
		w.cede(r, "h", "x", "y", "z")
		w.adopt(r, 2, "x", "y", "z")
		if n == written {
			t.Fatal("nothing was written")
		}
		write() // before the watch has come to the new owners
		c.take(n)
		w.learn()
		write()
		c.take(n)
		at := decoded(t, c.cursor)
		if len(at.Pieces) != 7 { // two shards before, two behind, three in between
			t.Errorf("%+v", at.Pieces)
		}
		later := watch(t, w.hub(t), api.WatchRequest{Range: prefix("d/"), From: c.cursor})
		w.move(r, 3, []api.GroupID{"x", "y", "z"}, "g")
		write()
		c.take(n)
		later.take(20)
		w.judge(t, c, prefix("d/"))
		if len(c.gaps) > 0 {
			t.Errorf("gaps %v", c.gaps)
		}
	})
}

// TestResumesAfterMoves: a cursor from before two moves is continued, as long as the old owners have their histories and receipts.
func TestResumesAfterMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		c := watch(t, w.hub(t), api.WatchRequest{Range: prefix("d/")})
		c.next()
		put := func() { w.put("d/1/k", time.Now().String()) }
		put()
		w.move(prefix("d/"), 2, []api.GroupID{"g"}, "h")
		put()
		w.move(prefix("d/"), 3, []api.GroupID{"h"}, "i", "j")
		put()
		x := watch(t, w.hub(t), api.WatchRequest{Range: prefix("d/"), From: c.cursor})
		x.take(3)
		w.judge(t, x, prefix("d/"))

		w.forget("h") // no group knows any more to whom h gave it
		x = watch(t, w.hub(t), api.WatchRequest{Range: prefix("d/"), From: c.cursor})
		x.take(2)
		if len(x.gaps) != 1 || x.gaps[0].Reason != api.GapGone || x.log[1].Version.Epoch != 3 {
			t.Errorf("gaps %v, told %s", x.gaps, x.text())
		}
	})
}

// TestGaps: what cannot be told is told as a gap, in its place, and the watch goes on behind it under a new cursor.
func TestGaps(t *testing.T) {
	for _, x := range []struct {
		name string
		lose func(w *world)
		want api.GapReason
	}{
		{"trimmed", func(w *world) { w.trim("g") }, api.GapTrimmed},
		{"restored", func(w *world) { w.restore("g", 3) }, api.GapRestored},
		{"moved and trimmed", func(w *world) {
			w.move(prefix(""), 2, []api.GroupID{"g"}, "h")
			w.put("a/lost", "v")
			w.trim("h")
		}, api.GapTrimmed},
		{"moved and gone", func(w *world) {
			w.move(prefix(""), 2, []api.GroupID{"g"}, "h")
			w.forget("g")
		}, api.GapGone},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("g")
				c := watch(t, w.hub(t), api.WatchRequest{Range: prefix("a/")})
				c.next()
				for range 5 {
					w.put("a/k", "v")
				}
				c.take(5)
				w.put("a/lost", "v")
				x.lose(w)
				y := watch(t, w.hub(t), api.WatchRequest{Range: prefix("a/"), From: c.cursor})
				for len(y.gaps) == 0 {
					y.next()
				}
				before := len(y.log)
				if y.gaps[0] != (api.Gap{Range: prefix("a/"), Reason: x.want}) || y.cursor == c.cursor {
					t.Errorf("gap %+v", y.gaps[0])
				}
				z := watch(t, w.hub(t), api.WatchRequest{Range: prefix("a/"), From: y.cursor})
				w.put("a/after", "v")
				y.take(before + 1)
				z.take(1)
				if z.text() != "a/after=v " || len(z.gaps) > 0 {
					t.Errorf("from behind the gap: %s, gaps %v", z.text(), z.gaps)
				}
			})
		})
	}
}

// TestRestoredUnderARing: a cursor from before a restore does not continue in what a source has delivered since, though the indexes recur.
func TestRestoredUnderARing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		c := watch(t, h, api.WatchRequest{Range: prefix("a/")})
		c.next()
		for range 5 {
			w.put("a/k", "old")
		}
		c.take(5)
		old := c.cursor
		w.restore("g", 2)
		for range 10 {
			w.put("a/k", "new")
		}
		c.take(15)
		x := watch(t, h, api.WatchRequest{Range: prefix("a/"), From: old})
		x.take(8)
		if len(x.gaps) != 1 || x.gaps[0].Reason != api.GapRestored || len(c.gaps) != 1 {
			t.Errorf("gaps %v of one, %v of the other", x.gaps, c.gaps)
		}
	})
}

// TestIDsAreWhole: wherever a watch is cut off, its last id is not in the middle of a transaction.
func TestIDsAreWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		start := watch(t, h, api.WatchRequest{Range: prefix("a/")})
		start.next()
		for i := range 10 {
			w.write(map[api.Key]string{"a/1": fmt.Sprint(i), "a/2": "x", "a/3": "y"})
		}
		for cut := range 12 {
			c := watch(t, h, api.WatchRequest{Range: prefix("a/"), From: start.cursor})
			for range cut {
				c.next()
			}
			if cut > 0 && c.whole != (cut-1)*3 {
				t.Errorf("after %d batches %d events are whole", cut, c.whole)
			}
			log := c.log[:c.whole]
			_ = c.s.Close()
			rest := watch(t, w.hub(t), api.WatchRequest{Range: prefix("a/"), From: c.cursor})
			rest.take(30 - len(log))
			rest.log = append(log, rest.log...)
			w.judge(t, rest, prefix("a/"))
		}
	})
}

// TestNowAfterAMove: a watch from now finds owners that the map does not have yet, and waits for those that have not taken over.
func TestNowAfterAMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g", "h")
		hub := w.hub(t)
		for _, g := range []api.GroupID{"g", "h"} {
			w.cede(prefix(""), g, "x", "y")
		}
		go func() {
			time.Sleep(time.Second)
			w.adopt(prefix(""), 2, "x", "y")
			w.put("d/1/before", "v")
		}()
		c := watch(t, hub, api.WatchRequest{Range: prefix("d/")})
		c.next()
		time.Sleep(time.Second)
		w.put("d/1/k", "v")
		w.put("d/2/k", "v")
		c.take(2)
		for _, p := range decoded(t, c.cursor).Pieces {
			if p.Epoch != 2 {
				t.Errorf("%+v", p)
			}
		}
		if len(c.gaps) > 0 || c.log[0].Version.Epoch != 2 {
			t.Errorf("gaps %v, %s", c.gaps, c.text())
		}
	})
}
