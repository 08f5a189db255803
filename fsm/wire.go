package fsm

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/edgehold/edgehold/api"
)

// writer appends to b in the one encoding of everything that this package keeps: integers as varints, strings with their
// length before them, lists with their count.
type writer struct {
	b     []byte
	level Level // the version of the command that is written; 0 in a row
}

func (w *writer) byte(x byte)             { w.b = append(w.b, x) }
func (w *writer) raw(x []byte)            { w.b = append(w.b, x...) }
func (w *writer) uint(x uint64)           { w.b = binary.AppendUvarint(w.b, x) }
func (w *writer) int(x int64)             { w.uint(uint64(x)<<1 ^ uint64(x>>63)) } // zigzag
func (w *writer) fixed64(x uint64)        { w.b = binary.BigEndian.AppendUint64(w.b, x) }
func (w *writer) time(d time.Duration)    { w.uint(uint64(max(d, 0))) }
func (w *writer) version(v api.Version)   { w.uint(v.Epoch); w.uint(v.Index) }
func (w *writer) session(s api.SessionID) { w.uint(s.Incarnation); w.uint(s.Index) }

func (w *writer) bool(x bool) {
	if x {
		w.byte(1)
	} else {
		w.byte(0)
	}
}

func (w *writer) bytes(x []byte) {
	w.uint(uint64(len(x)))
	w.raw(x)
}

func (w *writer) text(s string) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

// reader takes apart what a writer wrote, and nothing else: there is one encoding of each thing. The first fault stays;
// what is read after it is zero.
type reader struct {
	b     []byte
	level Level       // the version of the command that is read; 0 in a row
	own   api.GroupID // a name that needs no memory of its own
	bad   string      // what was wrong first
}

func (r *reader) fail(what string) {
	if r.bad == "" {
		r.bad = what
	}
	r.b = nil
}

// end demands that everything has been read.
func (r *reader) end() {
	if len(r.b) > 0 {
		r.fail("bytes after the end")
	}
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

func (r *reader) bool() bool {
	x := r.byte()
	if x > 1 {
		r.fail("a flag that is neither 0 nor 1")
	}
	return x == 1
}

func (r *reader) uint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		x := r.b[0]
		r.b = r.b[1:]
		return uint64(x)
	}
	x, n := binary.Uvarint(r.b)
	if n <= 0 || r.b[n-1] == 0 {
		r.fail("a number that is cut off, too long or not in its shortest form")
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) epoch() Epoch { return Epoch(r.uint()) }
func (r *reader) int() int64   { x := r.uint(); return int64(x>>1) ^ -int64(x&1) }

func (r *reader) uint32() uint32 {
	x := r.uint()
	if x > math.MaxUint32 {
		r.fail("a number over 32 bits")
		return 0
	}
	return uint32(x)
}

func (r *reader) fixed64() uint64 {
	if len(r.b) < 8 {
		r.fail("cut off")
		return 0
	}
	x := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
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

// count63 reads how many there are of something.
func (r *reader) count63() int {
	x := r.uint()
	if x > math.MaxInt {
		r.fail("a count over 63 bits")
		return 0
	}
	return int(x)
}

// take returns the next n bytes, shared with what is read.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail("cut off")
		return nil
	}
	x := r.b[:n:n]
	r.b = r.b[n:]
	return x
}

// bytes returns a string of at most limit bytes, shared with what is read; nil where it is empty.
func (r *reader) bytes(limit int) []byte {
	n := r.uint()
	if n == 0 {
		return nil
	}
	if n > uint64(limit) {
		r.fail("a string over its limit")
		return nil
	}
	return r.take(n)
}

func (r *reader) text(limit int) string { return string(r.bytes(limit)) }

// count reads the length of a list whose elements take at least size bytes each, so that no list is made room for that
// cannot be there.
func (r *reader) count(limit, size int) int {
	n := r.uint()
	if n > uint64(limit) || n > uint64(len(r.b)/size) {
		r.fail("a list over its limit")
		return 0
	}
	return int(n)
}

func (r *reader) version() api.Version { return api.Version{Epoch: r.uint(), Index: r.uint()} }
func (r *reader) session() api.SessionID {
	return api.SessionID{Incarnation: r.uint(), Index: r.uint()}
}
func (r *reader) key() api.Key { return api.Key(r.text(api.MaxKeyBytes)) }

// keyName reads a key that names a value: it is not empty.
func (r *reader) keyName() api.Key {
	k := r.key()
	if k == "" {
		r.fail("an empty key")
	}
	return k
}

func (r *reader) array16() (x [16]byte) { copy(x[:], r.take(16)); return x }
func (r *reader) name() string          { return r.text(maxNameBytes) }

// list reads a list of at most limit elements of at least size bytes each; nil where it is empty.
func list[T any](r *reader, limit, size int, one func(r *reader) T) []T {
	n := r.count(limit, size)
	if n == 0 {
		return nil
	}
	xs := make([]T, n)
	for i := range xs {
		xs[i] = one(r)
		if r.bad != "" {
			return nil
		}
	}
	return xs
}

func putList[T any](w *writer, xs []T, one func(w *writer, x *T)) {
	w.uint(uint64(len(xs)))
	for i := range xs {
		one(w, &xs[i])
	}
}
