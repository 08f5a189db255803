package cursor

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/cluster/words"
)

// format is the first byte of a cursor.
const format = 1

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	text       = base64.RawURLEncoding.Strict()
)

// Encode returns the text of the cursor. CodeTooLarge if it has more than [MaxPieces] pieces, or its text more than [api.MaxCursorBytes] bytes.
func (c *Cursor) Encode() (api.Cursor, error) {
	if len(c.Pieces) > MaxPieces {
		return "", tooLarge(c, "it has %d parts with an owner of their own, over the limit of %d", len(c.Pieces), MaxPieces)
	}
	groups, parts := c.tables()
	w := &codec.Writer{B: make([]byte, 0, 64)}
	w.Byte(format)
	putRange(w, c.Range)
	codec.PutList(w, groups, codec.PutGroup)
	codec.PutList(w, parts, func(w *codec.Writer, r *api.Range) { putRange(w, *r) })
	codec.PutList(w, c.Pieces, func(w *codec.Writer, p *Piece) {
		if len(parts) > 0 {
			w.Uint(uint64(slices.Index(parts, p.Range)))
		}
		w.Uint(uint64(p.Index))
		w.Uint(uint64(p.Of))
		w.Uint(p.Epoch)
		w.Uint(uint64(slices.Index(groups, p.Group)))
		w.Uint(p.At.Incarnation)
		w.Uint(p.At.Index)
	})
	w.Raw(binary.BigEndian.AppendUint32(nil, crc32.Checksum(w.B, castagnoli)))
	if n := text.EncodedLen(len(w.B)); n > api.MaxCursorBytes {
		return "", tooLarge(c, "its cursor has %d bytes, over the limit of %d", n, api.MaxCursorBytes)
	}
	return api.Cursor(text.EncodeToString(w.B)), nil
}

// tables lists the groups, and the parts of the range unless every piece has all of it.
func (c *Cursor) tables() (groups []api.GroupID, parts []api.Range) {
	several := false
	for _, p := range c.Pieces {
		if !slices.Contains(groups, p.Group) {
			groups = append(groups, p.Group)
		}
		if !slices.Contains(parts, p.Range) {
			parts = append(parts, p.Range)
		}
		several = several || p.Range != c.Range
	}
	if !several {
		parts = nil
	}
	return groups, parts
}

func tooLarge(c *Cursor, why string, args ...any) error {
	e := api.Errorf(api.CodeTooLarge, why, args...)
	e.Hint = Describe(c.Range) + " cannot be watched at once: " + e.Hint + "; watch a narrower prefix"
	return e
}

// Decode reads what Encode returned. CodeInvalid for any other text.
func Decode(s api.Cursor) (*Cursor, error) {
	if len(s) > api.MaxCursorBytes {
		return nil, api.Errorf(api.CodeInvalid, "a text of %d bytes is no cursor: a cursor has at most %d", len(s), api.MaxCursorBytes)
	}
	b, err := text.DecodeString(string(s))
	if err != nil || len(b) < 5 {
		return nil, notOne("it is cut off or has other characters")
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, notOne("it is cut off or was changed")
	}
	if body[0] != format {
		return nil, api.Errorf(api.CodeInvalid, "the cursor has format %d, which this node does not know: it was made by another version", body[0])
	}
	r := &codec.Reader{B: body[1:]}
	c := decode(r)
	if r.End(); r.Fault() != "" {
		return nil, notOne(r.Fault())
	}
	return c, nil
}

func notOne(why string) error {
	return api.Errorf(api.CodeInvalid, "this is no cursor of a watch or a list (%s): pass it exactly as it was given", why)
}

func decode(r *codec.Reader) *Cursor {
	c := &Cursor{Range: readRange(r)}
	groups := codec.List(r, MaxPieces, 1, (*codec.Reader).Group)
	parts := codec.List(r, MaxPieces, 2, readRange)
	c.Pieces = codec.List(r, MaxPieces, 6, func(r *codec.Reader) (p Piece) {
		p.Range = c.Range
		if len(parts) > 0 {
			p.Range = pick(r, parts)
		}
		p.Index, p.Of, p.Epoch = r.Uint32(), r.Uint32(), r.Uint()
		p.Group = pick(r, groups)
		p.At = words.Position{Incarnation: r.Uint(), Index: r.Uint()}
		if p.Index >= p.Of {
			r.Fail("a shard that there is not")
		}
		if !c.Range.ContainsRange(p.Range) {
			r.Fail("a part outside its range")
		}
		return p
	})
	if c.doubled() {
		r.Fail("two parts with the same keys")
	}
	return c
}

// doubled reports whether two pieces may have a key in common at the same epoch. What happens to it would be delivered twice, also to others
// that share the feeds.
func (c *Cursor) doubled() bool {
	for i := range c.Pieces {
		for j := range i {
			if c.Pieces[i].Epoch == c.Pieces[j].Epoch && Overlap(c.Pieces[i].Piece, c.Pieces[j].Piece) {
				return true
			}
		}
	}
	return false
}

// pick reads a place in a table.
func pick[T any](r *codec.Reader, table []T) (x T) {
	i := r.Uint()
	if i >= uint64(len(table)) {
		r.Fail("a place outside its table")
		return x
	}
	return table[i]
}

// putRange writes the end only if the range is not that of a prefix.
func putRange(w *codec.Writer, r api.Range) {
	prefix := r == api.PrefixRange(r.Start)
	w.Bool(prefix)
	codec.PutKey(w, &r.Start)
	if !prefix {
		codec.PutKey(w, &r.End)
	}
}

func readRange(r *codec.Reader) (x api.Range) {
	prefix := r.Bool()
	if x.Start = r.Key(); prefix {
		return api.PrefixRange(x.Start)
	}
	if x.End = r.Key(); x.End != "" && x.End <= x.Start {
		r.Fail("a range that ends before it begins")
	}
	return x
}
