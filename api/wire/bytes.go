package wire

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
)

// writer appends to b.
type writer struct{ b []byte }

func (w *writer) byte(x byte)           { w.b = append(w.b, x) }
func (w *writer) uint(x uint64)         { w.b = binary.AppendUvarint(w.b, x) }
func (w *writer) signed(x int64)        { w.b = binary.AppendVarint(w.b, x) }
func (w *writer) time(d time.Duration)  { w.uint(uint64(max(d, 0))) }
func (w *writer) version(v api.Version) { w.uint(v.Epoch); w.uint(v.Index) }

func (w *writer) flags(xs ...bool) {
	var b byte
	for i, x := range xs {
		if x {
			b |= 1 << i
		}
	}
	w.byte(b)
}

func (w *writer) bytes(x []byte) {
	w.uint(uint64(len(x)))
	w.b = append(w.b, x...)
}

func (w *writer) text(s string) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

func putList[T any](w *writer, xs []T, one func(w *writer, x *T)) {
	w.uint(uint64(len(xs)))
	for i := range xs {
		one(w, &xs[i])
	}
}

// reader takes apart what a writer wrote. What it returns is its own, b may be used again. The first fault stays; what is
// read after it is zero.
type reader struct {
	b   []byte
	bad string // what was wrong first
}

func (r *reader) fail(what string) {
	if r.bad == "" {
		r.bad = what
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("cut off")
		return 0
	}
	x := r.b[0]
	r.b = r.b[1:]
	return x
}

func (r *reader) uint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		return uint64(r.byte())
	}
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("a number that is cut off or too long")
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) signed() int64 {
	x, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail("a number that is cut off or too long")
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) time() time.Duration {
	x := r.uint()
	if x > math.MaxInt64 {
		r.fail("a duration over 63 bits")
		return 0
	}
	return time.Duration(x)
}

// take returns the next n bytes, shared with b.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail("cut off")
		return nil
	}
	x := r.b[:n:n]
	r.b = r.b[n:]
	return x
}

// bytes returns nil where there are none.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n == 0 {
		return nil
	}
	x := r.take(n)
	if r.bad != "" {
		return nil
	}
	return append(make([]byte, 0, len(x)), x...)
}

func (r *reader) text() string          { return string(r.take(r.uint())) }
func (r *reader) key() api.Key          { return api.Key(r.text()) }
func (r *reader) version() api.Version  { return api.Version{Epoch: r.uint(), Index: r.uint()} }
func (r *reader) array16() (x [16]byte) { copy(x[:], r.take(16)); return x }
func flag(flags byte, i int) bool       { return flags&(1<<i) != 0 }

// list reads a list of elements that take at least size bytes each, so that no room is made for what cannot be there; nil
// where it is empty.
func list[T any](r *reader, size int, one func(r *reader, x *T)) []T {
	return listInto[T](r, nil, size, one)
}

// listInto is list into the memory of to, if that is large enough.
func listInto[T any](r *reader, to []T, size int, one func(r *reader, x *T)) []T {
	n := r.uint()
	if n > uint64(len(r.b)/size) {
		r.fail("a list longer than its message")
		return nil
	}
	if n == 0 {
		return nil
	}
	xs := slices.Grow(to[:0], int(n))[:n]
	for i := range xs {
		one(r, &xs[i])
	}
	if r.bad != "" {
		return nil
	}
	return xs
}
