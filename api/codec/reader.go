package codec

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Reader reads what a [Writer] wrote, and nothing else. After the first fault every read returns zero, so that a caller checks
// once, at the end.
type Reader struct {
	// B is what has not been read yet.
	B []byte
	// Format is the version of the layout that is read, as in Writer.
	Format uint8
	// Own is a group's name that is read without an allocation.
	Own api.GroupID
	// Message says that B is a message, whose memory is used again and whose sender is not trusted: values are copied out of it. Words
	// over the limits of package api are read too, for the check of the request to refuse by name.
	Message bool

	fault string
}

// Fault returns what was wrong first, and "" if nothing was.
func (r *Reader) Fault() string { return r.fault }

// Fail notes a fault, and ends the reading.
func (r *Reader) Fail(what string) {
	if r.fault == "" {
		r.fault = what
	}
	r.B = nil
}

// End fails unless everything has been read.
func (r *Reader) End() {
	if len(r.B) > 0 {
		r.Fail("bytes after the end")
	}
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.B) == 0 {
		r.Fail("cut off")
		return 0
	}
	x := r.B[0]
	r.B = r.B[1:]
	return x
}

// Bool reads a byte that is 0 or 1.
func (r *Reader) Bool() bool {
	x := r.Byte()
	if x > 1 {
		r.Fail("a flag that is neither 0 nor 1")
	}
	return x == 1
}

// Flags reads what Writer.Flags wrote with n flags; [Flag] picks them.
func (r *Reader) Flags(n int) byte {
	x := r.Byte()
	if x>>n != 0 {
		r.Fail("an unknown flag")
		return 0
	}
	return x
}

// Flag reports whether flag i is set.
func Flag(flags byte, i int) bool { return flags&(1<<i) != 0 }

// Uint reads a varint.
func (r *Reader) Uint() uint64 {
	if len(r.B) > 0 && r.B[0] < 0x80 {
		x := r.B[0]
		r.B = r.B[1:]
		return uint64(x)
	}
	x, n := binary.Uvarint(r.B)
	if n <= 0 || r.B[n-1] == 0 {
		r.Fail("a number that is cut off, too long or not in its shortest form")
		return 0
	}
	r.B = r.B[n:]
	return x
}

// Int reads a zigzag varint.
func (r *Reader) Int() int64 { x := r.Uint(); return int64(x>>1) ^ -int64(x&1) }

// Uint32 reads a varint of at most 32 bits.
func (r *Reader) Uint32() uint32 {
	x := r.Uint()
	if x > math.MaxUint32 {
		r.Fail("a number over 32 bits")
		return 0
	}
	return uint32(x)
}

// Count reads a varint of at most 63 bits.
func (r *Reader) Count() int {
	x := r.Uint()
	if x > math.MaxInt {
		r.Fail("a count over 63 bits")
		return 0
	}
	return int(x)
}

// Fixed64 reads 8 bytes, the most significant first.
func (r *Reader) Fixed64() uint64 {
	if len(r.B) < 8 {
		r.Fail("cut off")
		return 0
	}
	x := binary.BigEndian.Uint64(r.B)
	r.B = r.B[8:]
	return x
}

// Duration reads nanoseconds.
func (r *Reader) Duration() time.Duration {
	x := r.Uint()
	if x > math.MaxInt64 {
		r.Fail("a duration over 63 bits")
		return 0
	}
	return time.Duration(x)
}

// Take returns the next n bytes, shared with B.
func (r *Reader) Take(n uint64) []byte {
	if n > uint64(len(r.B)) {
		r.Fail("cut off")
		return nil
	}
	x := r.B[:n:n]
	r.B = r.B[n:]
	return x
}

// Rest returns all that has not been read, shared with B.
func (r *Reader) Rest() []byte { return r.Take(uint64(len(r.B))) }

// Array16 reads 16 bytes.
func (r *Reader) Array16() (x [16]byte) { copy(x[:], r.Take(16)); return x }

// Bytes reads a string of at most limit bytes; nil if it is empty. It is shared with B, but copied out of a message.
func (r *Reader) Bytes(limit int) []byte {
	x := r.piece(limit)
	if r.Message && len(x) > 0 {
		return append(make([]byte, 0, len(x)), x...)
	}
	return x
}

// Text reads a string of at most limit bytes.
func (r *Reader) Text(limit int) string { return string(r.piece(limit)) }

// piece reads a string, shared with B.
func (r *Reader) piece(limit int) []byte {
	n := r.Uint()
	if n == 0 {
		return nil
	}
	if n > uint64(limit) && !r.Message {
		r.Fail("a string over its limit")
		return nil
	}
	return r.Take(n)
}

// overLimit is how many times its limit a list of a message may have, for the check of the request to refuse it by name.
const overLimit = 64

// List reads a list of at most limit elements of at least size bytes each, so that no memory is taken for elements that cannot be
// there; nil if it is empty.
func List[T any](r *Reader, limit, size int, one func(r *Reader) T) []T {
	return listInto(r, nil, limit, size, func(r *Reader, x *T) { *x = one(r) })
}

// Length reads how many elements follow, of at least size bytes each and at most limit: what [PutList] begins with.
func (r *Reader) Length(limit, size int) int {
	n := r.Uint()
	if r.Message {
		limit *= overLimit
	}
	if n > uint64(limit) || n > uint64(len(r.B)/size) {
		r.Fail("a list over its limit")
		return 0
	}
	return int(n)
}

// listInto is List into the memory of to, if that is large enough.
func listInto[T any](r *Reader, to []T, limit, size int, one func(r *Reader, x *T)) []T {
	n := r.Length(limit, size)
	if n == 0 {
		return nil
	}
	if cap(to) < n {
		to = make([]T, n)
	}
	to = to[:n]
	for i := range to {
		if one(r, &to[i]); r.fault != "" {
			return nil
		}
	}
	return to
}
