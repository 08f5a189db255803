package cursor

import (
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestBefore: a stream that is there serves a cursor only if all that comes after the cursor comes in the stream.
func TestBefore(t *testing.T) {
	two := prefix("a/")
	low := api.Range{Start: "a/", End: "a/m"}
	a, b := piece(two, 0, 2, 3, "a", 100), piece(two, 1, 2, 3, "b", 100)
	at := func(p Piece, index uint64) Piece { p.At.Index = index; return p }
	restored := at(a, 50)
	restored.At.Incarnation = 2
	c := func(i uint32, index uint64) Piece { return piece(two, i, 3, 4, api.GroupID("cde"[i:i+1]), index) }
	for _, x := range []struct {
		name         string
		from, of     []Piece
		before, back bool
	}{
		{"same", []Piece{a, b}, []Piece{a, b}, true, true},
		{"one behind", []Piece{at(a, 99), b}, []Piece{a, b}, true, false},
		{"each behind", []Piece{at(a, 99), b}, []Piece{a, at(b, 99)}, false, false},
		{"in another order", []Piece{b, a}, []Piece{a, b}, true, true},
		{"restored", []Piece{restored, b}, []Piece{a, b}, false, false},
		{"from the take-over", []Piece{at(a, 0), b}, []Piece{a, b}, true, false},
		{"one has moved", []Piece{a, b}, []Piece{b, c(0, 0), c(1, 0), c(2, 0)}, true, false},
		{"both are moving", []Piece{b, c(0, 0), c(1, 0), c(2, 0)}, []Piece{b, c(0, 0), c(1, 0), c(2, 0)}, true, true},
		{"both have moved", []Piece{b, c(0, 0), c(1, 0), c(2, 0)}, []Piece{c(0, 7), c(1, 7), c(2, 7)}, true, false},
		{"after the move", []Piece{c(0, 7), c(1, 7), c(2, 0)}, []Piece{c(0, 7), c(1, 6), c(2, 7)}, false, false},
		{"a part has moved", []Piece{a, b}, []Piece{a, piece(api.Range{Start: "a/m", End: "a0"}, 1, 2, 3, "b", 120), piece(low, 0, 1, 4, "c", 3)}, true, false},
	} {
		from, of := Cursor{two, x.from}, Cursor{two, x.of}
		if before, back := from.Before(&of), of.Before(&from); before != x.before || back != x.back {
			t.Errorf("%s: %t and %t, want %t and %t", x.name, before, back, x.before, x.back)
		}
	}
	wide := Cursor{prefix(""), []Piece{piece(prefix(""), 0, 1, 3, "a", 100)}}
	for index, want := range map[uint64]bool{99: false, 100: true, 101: true} {
		if narrow := (Cursor{low, []Piece{piece(low, 0, 1, 3, "a", index)}}); wide.Before(&narrow) != want {
			t.Errorf("before %d of a part: %t", index, !want)
		}
	}
}

// TestTold: an event is passed over if the cursor's owner has it.
func TestTold(t *testing.T) {
	two := prefix("a/")
	shard := ident.ShardOf("a/b/c", 2)
	old, other := piece(two, shard, 2, 3, "a", 100), piece(two, 1-shard, 2, 3, "b", 500)
	c := Cursor{two, []Piece{old, other, piece(two, 0, 1, 4, "c", 0)}}
	for _, x := range []struct {
		epoch, incarnation, index uint64
		told                      bool
	}{
		{3, 1, 100, true}, {3, 1, 101, false}, {2, 1, 200, true}, {4, 1, 1, false}, {3, 2, 20, false},
	} {
		o := Origin{x.epoch, words.Position{Incarnation: x.incarnation, Index: x.index}}
		if c.Told("a/b/c", o) != x.told {
			t.Errorf("%+v: told %t", x, !x.told)
		}
		if c.ToldGap(old.Piece, o) != x.told {
			t.Errorf("a gap to %+v: told %t", x, !x.told)
		}
	}
}
