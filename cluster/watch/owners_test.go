package watch

import (
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestForgedOwners: a cursor that names an owner which there never was is refused at once. One of a time before a move, of a move that the
// map does not have yet, or of a group that has been removed since, is not.
func TestForgedOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("g", "h")
		w.move(prefix(""), 5, []api.GroupID{"g", "h"}, "i", "j")
		h := w.hub(t)
		at := words.Position{Incarnation: 1, Index: 3}
		both := func(of uint32, epoch uint64, groups ...api.GroupID) (c cursor.Cursor) {
			c.Range = prefix("d/")
			for i, g := range groups {
				c.Pieces = append(c.Pieces, cursor.Piece{Piece: words.Piece{Range: c.Range, Index: uint32(i), Of: of, Epoch: epoch, Group: g}, At: at})
			}
			return c
		}
		for name, x := range map[string]struct {
			c    cursor.Cursor
			code api.Code
		}{
			"as it is":               {both(2, 5, "i", "j"), ""},
			"before the move":        {both(2, 1, "g", "h"), ""},
			"before, removed since":  {both(2, 1, "g", "removed"), ""},
			"a move under way":       {both(1, 9, "k"), ""},
			"of another group":       {both(2, 5, "i", "k"), api.CodeInvalid},
			"in another order":       {both(2, 5, "j", "i"), api.CodeInvalid},
			"in other shards":        {both(1, 5, "i"), api.CodeInvalid},
			"of no group, later":     {both(2, 9, "i", "nobody"), api.CodeInvalid},
			"of no group, just then": {both(2, 5, "i", "nobody"), api.CodeInvalid},
		} {
			from, err := x.c.Encode()
			if err != nil {
				t.Fatal(err)
			}
			s, err := h.Watch(t.Context(), &api.WatchRequest{Range: prefix("d/"), From: from})
			if err == nil {
				_ = s.Close()
			}
			if err == nil && x.code != "" || err != nil && api.CodeOf(err) != x.code {
				t.Errorf("%s: %v, want %q", name, err, x.code)
			}
		}
	})
}
