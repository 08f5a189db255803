package watch

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestOwnersOfAnotherLife: a cursor that names an owner which there never was, as one of before a restore of the cluster may, continues now,
// behind a gap, even if it names where that owner took over. One of a time before a move, of a move that the map does not have yet, or of a
// group that has been removed since, has no such gap.
func TestOwnersOfAnotherLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g", "h")
		w.move(prefix(""), 5, []api.GroupID{"g", "h"}, "i", "j")
		h := w.hub(t)
		var at words.Position // from the take-over: the group cannot say that it never was
		both := func(of uint32, epoch uint64, groups ...api.GroupID) (c cursor.Cursor) {
			c.Range = prefix("d/")
			for i, g := range groups {
				c.Pieces = append(c.Pieces, cursor.Piece{Piece: words.Piece{Range: c.Range, Index: uint32(i), Of: of, Epoch: epoch, Group: g}, At: at})
			}
			return c
		}
		for name, x := range map[string]struct {
			c   cursor.Cursor
			gap bool
		}{
			"as it is":               {both(2, 5, "i", "j"), false},
			"before the move":        {both(2, 1, "g", "h"), false},
			"before, removed since":  {both(2, 1, "g", "removed"), false},
			"a move under way":       {both(1, 9, "k"), false},
			"of another group":       {both(2, 5, "i", "k"), true},
			"in another order":       {both(2, 5, "j", "i"), true},
			"in other shards":        {both(1, 5, "i"), true},
			"of no group, later":     {both(2, 9, "i", "nobody"), true},
			"of no group, just then": {both(2, 5, "i", "nobody"), true},
		} {
			from, err := x.c.Encode()
			if err != nil {
				t.Fatal(err)
			}
			c := watch(t, h, api.WatchRequest{Range: prefix("d/"), From: from})
			if first := c.next(); (first.Gap != nil) != x.gap {
				t.Errorf("%s: begins with %+v", name, first)
			}
			if !x.gap {
				_ = c.s.Close()
				continue
			}
			if want := []api.Gap{{Range: prefix("d/"), Reason: api.GapRestored}}; !slices.Equal(c.gaps, want) || c.cursor != from { // a client that breaks off here has the gap again
				t.Errorf("%s: gaps %v, goes on from %s", name, c.gaps, c.cursor)
			}
			if ready := c.next(); !ready.Ready {
				t.Errorf("%s: then %+v", name, ready)
			}
			w.put("d/k", name)
			if c.take(1); c.text() != text(api.Event{Kind: api.EventPut, Key: "d/k", Value: []byte(name)}) {
				t.Errorf("%s: told %s", name, c.text())
			}
			_ = c.s.Close()
		}
	})
}

// TestRestoredCluster: a cursor of before a restore, of which the epochs are later than those of the cluster as it is now, continues now,
// behind a gap. Watchers with good cursors that come with it have none and miss nothing.
func TestRestoredCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g")
		h := w.hub(t)
		start := watch(t, h, api.WatchRequest{Range: prefix("")})
		start.next()
		good := start.cursor
		w.put("a", "1")
		old := &cursor.Cursor{Range: prefix(""), Pieces: []cursor.Piece{{Piece: words.Piece{Of: 1, Epoch: 9, Group: "g"}, At: words.Position{Incarnation: 1, Index: 70}}}}
		from, err := old.Encode()
		if err != nil {
			t.Fatal(err)
		}
		_ = start.s.Close()
		w.down["g"] = true
		if s, err := h.Watch(t.Context(), &api.WatchRequest{Range: prefix(""), From: from}); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("while the owner cannot be asked: %v, %v", s, err)
		}
		delete(w.down, "g")
		lost := watch(t, h, api.WatchRequest{Range: prefix(""), From: from})
		beside := watch(t, h, api.WatchRequest{Range: prefix(""), From: good})
		lists := watch(t, h, api.WatchRequest{Range: prefix(""), List: true})
		for range 2 {
			lost.next()
		}
		w.put("b", "2")
		lost.take(1)
		if want := []api.Gap{{Range: prefix(""), Reason: api.GapRestored}}; !slices.Equal(lost.gaps, want) || lost.text() != "b=2 " {
			t.Errorf("gaps %v, told %s", lost.gaps, lost.text())
		}
		if beside.take(2); len(beside.gaps) > 0 || beside.text() != "a=1 b=2 " {
			t.Errorf("beside: gaps %v, told %s", beside.gaps, beside.text())
		}
		for !lists.ready || len(lists.log) < 2 {
			lists.next()
		}
		again := watch(t, h, api.WatchRequest{Range: prefix(""), From: lost.cursor})
		w.put("c", "3")
		if again.take(1); len(again.gaps) > 0 || again.text() != "c=3 " {
			t.Errorf("from the cursor of the gap: gaps %v, told %s", again.gaps, again.text())
		}
		for _, c := range []*client{lost, beside, lists, again} {
			_ = c.s.Close()
		}
		synctest.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.sources) != 0 || len(h.watchers) != 0 || h.upstreams.Load() != 0 || h.turns.taken != 0 {
			t.Errorf("%d sources, %d watchers, %d feeds, %d turns are left", len(h.sources), len(h.watchers), h.upstreams.Load(), h.turns.taken)
		}
	})
}
