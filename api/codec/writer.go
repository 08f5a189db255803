package codec

import (
	"encoding/binary"
	"time"
)

// Writer appends to B.
type Writer struct {
	B []byte
	// Format is the version of the layout that is written: 1 is that of the oldest logs, 0 the newest one.
	Format uint8
}

// Byte writes one byte.
func (w *Writer) Byte(x byte) { w.B = append(w.B, x) }

// Raw writes bytes whose number the reader knows.
func (w *Writer) Raw(x []byte) { w.B = append(w.B, x...) }

// Uint writes a varint.
func (w *Writer) Uint(x uint64) { w.B = binary.AppendUvarint(w.B, x) }

// Int writes a signed number as a zigzag varint.
func (w *Writer) Int(x int64) { w.Uint(uint64(x)<<1 ^ uint64(x>>63)) }

// Fixed64 writes 8 bytes, the most significant first: their order is that of the numbers.
func (w *Writer) Fixed64(x uint64) { w.B = binary.BigEndian.AppendUint64(w.B, x) }

// Duration writes nanoseconds. A negative duration is written as 0.
func (w *Writer) Duration(d time.Duration) { w.Uint(uint64(max(d, 0))) }

// Bool writes a byte, 0 or 1.
func (w *Writer) Bool(x bool) {
	if x {
		w.Byte(1)
	} else {
		w.Byte(0)
	}
}

// Flags writes up to 8 flags in one byte, the first as the lowest bit.
func (w *Writer) Flags(xs ...bool) {
	var b byte
	for i, x := range xs {
		if x {
			b |= 1 << i
		}
	}
	w.Byte(b)
}

// Bytes writes the length of x and x.
func (w *Writer) Bytes(x []byte) {
	w.Uint(uint64(len(x)))
	w.B = append(w.B, x...)
}

// Text writes the length of s and s.
func (w *Writer) Text(s string) {
	w.Uint(uint64(len(s)))
	w.B = append(w.B, s...)
}

// PutList writes the number of xs and each of them.
func PutList[T any](w *Writer, xs []T, one func(w *Writer, x *T)) {
	w.Uint(uint64(len(xs)))
	for i := range xs {
		one(w, &xs[i])
	}
}
