package cursor

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Origin is where an event, or the end of a gap, stands in the history of a piece. An index of 0 is where the epoch begins.
type Origin struct {
	Epoch uint64
	At    words.Position
}

// Told reports whether the cursor covers an event of the key: it has been delivered already.
func (c *Cursor) Told(k api.Key, o Origin) bool {
	for i := range c.Pieces {
		if p := &c.Pieces[i]; p.Range.Contains(k) && ident.ShardOf(k, p.Of) == p.Index && p.awaits(o) {
			return false
		}
	}
	return true
}

// ToldGap reports whether the cursor goes beyond a gap that ends at o, in all of the piece.
func (c *Cursor) ToldGap(gap words.Piece, o Origin) bool {
	for i := range c.Pieces {
		if p := &c.Pieces[i]; Overlap(p.Piece, gap) && p.awaits(o) {
			return false
		}
	}
	return true
}

// awaits reports whether an event at o, of one of the piece's keys, comes after the piece's position.
func (p *Piece) awaits(o Origin) bool {
	return p.Epoch < o.Epoch || p.Epoch == o.Epoch && o.At.Index > 0 && (differ(p.At, o.At) || p.At.Index < o.At.Index)
}

// differ reports whether two positions are of different incarnations. Then their indexes have nothing to do with each other.
func differ(a, b words.Position) bool { return guardIncarnation && a.Incarnation != b.Incarnation }

// atOrBefore reports whether a feed from a delivers all that comes after b.
func atOrBefore(a, b words.Position) bool { return a.Index == 0 || !differ(a, b) && a.Index <= b.Index }

// Before reports whether a watch that goes on from c delivers all that comes after o, and perhaps more. c's range must contain o's.
func (c *Cursor) Before(o *Cursor) bool {
	if before, same := c.samePieces(o); same {
		return before
	}
	for i := range o.Pieces {
		if !o.held(i) && !c.leadsTo(&o.Pieces[i]) {
			return false
		}
	}
	return true
}

// samePieces compares the positions of two cursors that differ in nothing else.
func (c *Cursor) samePieces(o *Cursor) (before, same bool) {
	if len(c.Pieces) != len(o.Pieces) {
		return false, false
	}
	before = true
	for i := range c.Pieces {
		if c.Pieces[i].Piece != o.Pieces[i].Piece {
			return false, false
		}
		before = before && atOrBefore(c.Pieces[i].At, o.Pieces[i].At)
	}
	return before, true
}

// held reports whether the piece follows another one of the cursor: then it begins when that one has ended.
func (c *Cursor) held(i int) bool { return Held(c.Pieces[i].Piece, c.Pieces) }

// Held reports whether a piece among all has keys of p at an earlier epoch.
func Held(p words.Piece, all []Piece) bool {
	for i := range all {
		if all[i].Epoch < p.Epoch && Overlap(all[i].Piece, p) {
			return true
		}
	}
	return false
}

// Overlap reports whether the two pieces may have a key in common.
func Overlap(a, b words.Piece) bool {
	return a.Range.Overlaps(b.Range) && (a.Of != b.Of || a.Index == b.Index)
}

// leadsTo reports whether all keys of q are in pieces of c that come before q.
func (c *Cursor) leadsTo(q *Piece) bool {
	for next := q.Range.Start; ; {
		part := c.nextPart(next, q.Range.End)
		if !c.partLeadsTo(part, q) {
			return false
		}
		if part.End == q.Range.End {
			return true
		}
		next = part.End
	}
}

func (c *Cursor) partLeadsTo(part api.Range, q *Piece) bool {
	var earlier []Piece
	for _, p := range c.Pieces {
		switch {
		case !p.Range.ContainsRange(part) || p.Epoch > q.Epoch:
		case p.Epoch < q.Epoch:
			earlier = append(earlier, p)
		case p.Of == q.Of && p.Index == q.Index:
			if p.Group != q.Group || !atOrBefore(p.At, q.At) {
				return false
			}
			earlier = append(earlier, p)
		}
	}
	for _, p := range earlier {
		if p.Of == q.Of && p.Index == q.Index {
			return true
		}
	}
	return has(earlier, part)
}
