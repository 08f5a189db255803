// Package cursor has the cursors of watches: positions in a range of keys that every node understands. It is pure.
//
// A cursor is the range that is watched and its pieces, each with a position. Its text is the base64url of a format, the range,
// the pieces and a CRC-32C, in varints, with the names of groups and the parts of the range once each. For a range with one
// owner it has about 35 characters. It is no credential.
package cursor

import (
	"fmt"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// MaxPieces bounds the pieces of a cursor. A watch of a range that needs more, or a text of more than [api.MaxCursorBytes], is refused
// with [api.CodeTooLarge].
const MaxPieces = 160

// Piece is a part of a watched range and the position up to which all of it has been delivered. A position with an Index of 0 is where
// the piece's group took it over.
type Piece struct {
	words.Piece
	At words.Position
}

// Cursor is a position in Range. Its pieces have every key of Range. Two pieces have the same key only if one of them follows the
// other: then its epoch is greater, and it begins when the other has ended.
type Cursor struct {
	Range  api.Range
	Pieces []Piece
}

// Within returns the part of the cursor that a watch of r needs. CodeInvalid if the pieces do not have every key of r.
func (c *Cursor) Within(r api.Range) (*Cursor, error) {
	part := c.Part(r)
	if guardCover && (!c.Range.ContainsRange(r) || !part.whole()) {
		return nil, api.Errorf(api.CodeInvalid, "the cursor is for %s and does not cover %s: use it for the range that it was given for",
			Describe(c.Range), Describe(r))
	}
	return part, nil
}

// Part returns the part of the cursor that is in r, which is in its range.
func (c *Cursor) Part(r api.Range) *Cursor {
	if c.Range == r {
		return c
	}
	part := &Cursor{Range: r}
	for _, p := range c.Pieces {
		if x, ok := Clip(p.Piece, r); ok {
			part.Pieces = append(part.Pieces, Piece{x, p.At})
		}
	}
	return part
}

// Clip returns the part of the piece that is in r. It is false if the piece certainly has no key there.
func Clip(p words.Piece, r api.Range) (words.Piece, bool) {
	x, ok := p.Range.Intersect(r)
	if !ok || ident.OneShard(x) && ident.ShardOf(x.Start, p.Of) != p.Index {
		return words.Piece{}, false
	}
	p.Range = x
	return p, true
}

// whole reports whether the pieces have every key of the range.
func (c *Cursor) whole() bool {
	for next := c.Range.Start; ; {
		part := c.nextPart(next, c.Range.End)
		if !has(c.Pieces, part) {
			return false
		}
		if part.End == c.Range.End {
			return true
		}
		next = part.End
	}
}

// nextPart returns the range from start up to where a piece begins or ends, and up to end at most.
func (c *Cursor) nextPart(start, end api.Key) api.Range {
	part := api.Range{Start: start, End: end}
	for i := range c.Pieces {
		for _, border := range []api.Key{c.Pieces[i].Range.Start, c.Pieces[i].Range.End} {
			if border > part.Start && (part.End == "" || border < part.End) {
				part.End = border
			}
		}
	}
	return part
}

// has reports whether the pieces have every key of the part, in which none begins or ends: there must be a piece for every shard, or
// for the one shard that has all keys of the part.
func has(pieces []Piece, part api.Range) bool {
	shards := map[uint32]map[uint32]bool{} // of -> index
	for _, p := range pieces {
		if !p.Range.ContainsRange(part) {
			continue
		}
		if ident.OneShard(part) && ident.ShardOf(part.Start, p.Of) == p.Index {
			return true
		}
		if shards[p.Of] == nil {
			shards[p.Of] = map[uint32]bool{}
		}
		shards[p.Of][p.Index] = true
		if uint64(len(shards[p.Of])) == uint64(p.Of) {
			return true
		}
	}
	return false
}

// Describe names a range for people: by its prefix if it has one.
func Describe(r api.Range) string {
	switch {
	case r == api.Range{}:
		return "all keys"
	case r == api.PrefixRange(r.Start):
		return fmt.Sprintf("the prefix %q", string(r.Start))
	case r.End == r.Start+"\x00":
		return fmt.Sprintf("the key %q", string(r.Start))
	}
	return fmt.Sprintf("the range %v", r)
}
