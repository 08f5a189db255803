package cursor

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

func prefix(p api.Key) api.Range { return api.PrefixRange(p) }

func piece(r api.Range, index, of uint32, epoch uint64, g api.GroupID, at uint64) Piece {
	return Piece{words.Piece{Range: r, Index: index, Of: of, Epoch: epoch, Group: g}, words.Position{Incarnation: 1, Index: at}}
}

// one is the cursor of a prefix with one owner.
func one() *Cursor {
	r := prefix("a/b/")
	return &Cursor{r, []Piece{piece(r, ident.ShardOf(r.Start, 4), 4, 3, "eu.2", 123456)}}
}

// TestGolden: texts that clients have kept are read for ever.
func TestGolden(t *testing.T) {
	const golden = "AQEEYS9iLwEEZXUuMgABAQQDAAHAxAfx42mu"
	s, err := one().Encode()
	if err != nil || s != golden {
		t.Errorf("%q, %v", s, err)
	}
	c, err := Decode(golden)
	if err != nil || !reflect.DeepEqual(c, one()) {
		t.Errorf("%+v, %v", c, err)
	}
	if len(golden) > 40 {
		t.Errorf("a cursor of one group has %d characters", len(golden))
	}
}

// TestSize: a range of 48 groups has a cursor of 1.2 KB, and one that has no room is refused.
func TestSize(t *testing.T) {
	of := func(n int) *Cursor {
		c := &Cursor{Range: prefix("shop/")}
		for i := range n {
			c.Pieces = append(c.Pieces, piece(c.Range, uint32(i), uint32(n), 12, api.GroupID(fmt.Sprintf("us-east.%d", i)), 40_000_000+uint64(i)))
		}
		return c
	}
	s, err := of(48).Encode()
	if err != nil || len(s) > 1600 {
		t.Errorf("%d bytes, %v", len(s), err)
	}
	if s, err = of(130).Encode(); err != nil || len(s) > api.MaxCursorBytes {
		t.Errorf("%d bytes, %v", len(s), err)
	}
	large, long := of(MaxPieces), one() // groups whose names leave no room; a prefix that leaves none
	long.Range = prefix(api.Key(strings.Repeat("k", 3500)))
	long.Pieces[0].Range = long.Range
	for _, c := range []*Cursor{of(MaxPieces + 1), large, long} {
		if s, err := c.Encode(); api.CodeOf(err) != api.CodeTooLarge || !strings.Contains(err.Error(), "watch a narrower prefix") || s != "" {
			t.Errorf("%q, %v", s, err)
		}
	}
}

// TestNotACursor: a text that is cut, changed, forged or of another format is refused in words.
func TestNotACursor(t *testing.T) {
	good, _ := one().Encode()
	raw, _ := base64.RawURLEncoding.DecodeString(string(good))
	sign := func(b []byte) api.Cursor {
		return api.Cursor(base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))))
	}
	body := func() []byte { return append([]byte(nil), raw[:len(raw)-4]...) }
	newer := body()
	newer[0] = 2
	changed := append([]byte(nil), raw...)
	changed[len(raw)-6] ^= 1
	shard := body()
	shard[15] = 9 // index 9 of 4
	group := body()
	group[18] = 1 // of a table with one name
	twice := one()
	twice.Pieces = append(twice.Pieces, twice.Pieces[0])
	doubled, _ := twice.Encode()
	for name, s := range map[string]api.Cursor{
		"doubled": doubled, "empty": "", "cut": good[:len(good)-1], "half": good[:len(good)/2], "other characters": "not a cursor!", "long": api.Cursor(strings.Repeat("A", api.MaxCursorBytes+1)),
		"newer": sign(newer), "changed": api.Cursor(base64.RawURLEncoding.EncodeToString(changed)), "longer": sign(append(body(), 0)), "shard": sign(shard),
		"group": sign(group),
	} {
		c, err := Decode(s)
		if api.CodeOf(err) != api.CodeInvalid || c != nil {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
		t.Log(name, err)
	}
}

// TestCover: a cursor continues a watch of its range, or of a part of it, and of nothing else.
func TestCover(t *testing.T) {
	all, ab, two := prefix(""), prefix("a/b/"), prefix("a/")
	low, high := api.Range{Start: "a/", End: "a/m"}, api.Range{Start: "a/m", End: "a0"}
	for _, x := range []struct {
		name  string
		c     Cursor
		asked api.Range
		left  int // pieces; 0: refused
	}{
		{"itself", *one(), ab, 1},
		{"narrower", *one(), prefix("a/b/c"), 1},
		{"wider", *one(), two, 0},
		{"all", *one(), all, 0},
		{"beside", *one(), prefix("a/c/"), 0},
		{"both shards", Cursor{two, []Piece{piece(two, 0, 2, 1, "g", 1), piece(two, 1, 2, 1, "h", 1)}}, two, 2},
		{"a shard is missing", Cursor{two, []Piece{piece(two, 1, 2, 1, "h", 1)}}, two, 0},
		{"a shard twice", Cursor{two, []Piece{piece(two, 1, 2, 1, "h", 1), piece(two, 1, 2, 2, "h", 1)}}, two, 0},
		{"the shard of a directory", Cursor{two, []Piece{piece(two, 0, 2, 1, "g", 1), piece(two, 1, 2, 1, "h", 1)}}, ab, 1},
		{"two parts", Cursor{two, []Piece{piece(low, 0, 1, 1, "g", 1), piece(high, 0, 1, 1, "h", 1)}}, two, 2},
		{"one of two parts", Cursor{two, []Piece{piece(low, 0, 1, 1, "g", 1), piece(high, 0, 1, 1, "h", 1)}}, low, 1},
		{"a hole behind", Cursor{two, []Piece{piece(low, 0, 1, 1, "g", 1)}}, two, 0},
		{"a hole in front", Cursor{two, []Piece{piece(high, 0, 1, 1, "g", 1)}}, two, 0},
		{"moved in part", Cursor{two, []Piece{piece(two, 0, 2, 1, "g", 1), piece(two, 1, 2, 1, "h", 1), piece(low, 0, 1, 2, "i", 0)}}, two, 3},
		{"shards of two counts", Cursor{two, []Piece{piece(two, 0, 2, 1, "g", 1), piece(two, 2, 3, 2, "h", 1)}}, two, 0},
		{"no piece", Cursor{Range: two}, two, 0},
		{"pieces wider than the range", Cursor{ab, []Piece{piece(two, 0, 1, 1, "g", 1)}}, two, 0},
	} {
		part, err := x.c.Within(x.asked)
		if x.left == 0 {
			if api.CodeOf(err) != api.CodeInvalid || !strings.Contains(err.Error(), "the cursor is for "+Describe(x.c.Range)) {
				t.Errorf("%s: %+v, %v", x.name, part, err)
			}
			continue
		}
		if err != nil || len(part.Pieces) != x.left || part.Range != x.asked {
			t.Errorf("%s: %+v, %v", x.name, part, err)
		}
	}
}

// FuzzDecode: any text is a cursor or is refused, and what is read is written again as the same cursor.
func FuzzDecode(f *testing.F) {
	s, _ := one().Encode()
	two := prefix("a/")
	c := Cursor{two, []Piece{piece(two, 0, 2, 1, "g", 1), piece(api.Range{Start: "a/", End: "a/m"}, 0, 1, 2, "i", 0)}}
	s2, _ := c.Encode()
	for _, s := range []api.Cursor{s, s2} {
		raw, _ := base64.RawURLEncoding.DecodeString(string(s))
		f.Add(raw[:len(raw)-4])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Decode(api.Cursor(base64.RawURLEncoding.EncodeToString(b)))
		signed := binary.BigEndian.AppendUint32(slices.Clip(b), crc32.Checksum(b, castagnoli))
		c, err := Decode(api.Cursor(base64.RawURLEncoding.EncodeToString(signed)))
		if err != nil {
			if api.CodeOf(err) != api.CodeInvalid {
				t.Fatal(err)
			}
			return
		}
		_, _ = c.Within(c.Range)
		s, err := c.Encode()
		if api.CodeOf(err) == api.CodeTooLarge {
			return
		}
		again, err := Decode(s)
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
	})
}
