package resp

import (
	"net"
	"strconv"
	"time"

	"github.com/tidwall/redcon"
)

const (
	// writeTimeout is how long a client may take at the least to accept a part of an answer, and half of the most.
	writeTimeout = 30 * time.Second
	// flushAt is how many bytes of answers wait to be sent together. A longer string is sent from where it is.
	flushAt    = 32 << 10
	longString = 8 << 10
)

// writer collects answers and sends them. It belongs to one goroutine. After an error it sends no more.
type writer struct {
	to    net.Conn // nil: nothing is sent
	b     []byte
	resp3 bool
	err   error
	until time.Time // the deadline of what is written
}

func (w *writer) ok() { w.b = append(w.b, "+OK\r\n"...) }

// status writes a short text.
func (w *writer) status(s string) { w.b = redcon.AppendString(w.b, s) }

func (w *writer) queued() { w.b = append(w.b, "+QUEUED\r\n"...) }

func (w *writer) error(s string) { w.b = redcon.AppendError(w.b, s) }

func (w *writer) int(n int64) { w.b = redcon.AppendInt(w.b, n) }

// raw writes answers that another writer has collected.
func (w *writer) raw(b []byte) {
	w.b = append(w.b, b...)
	w.flushSome()
}

// bool writes 1 or 0.
func (w *writer) bool(b bool) {
	if b {
		w.int(1)
	} else {
		w.int(0)
	}
}

func (w *writer) text(s string) { w.b = redcon.AppendBulkString(w.b, s) }

// bytes writes a string of bytes, which must not change until the writer is flushed.
func (w *writer) bytes(v []byte) {
	if len(v) < longString || w.to == nil {
		w.b = redcon.AppendBulk(w.b, v)
		w.flushSome()
		return
	}
	w.b = append(strconv.AppendInt(append(w.b, '$'), int64(len(v)), 10), "\r\n"...)
	w.flush()
	w.send(v)
	w.b = append(w.b, "\r\n"...)
}

// value writes what a key holds: null if it is absent.
func (w *writer) value(v []byte, exists bool) {
	if exists {
		w.bytes(v)
	} else {
		w.null()
	}
}

func (w *writer) null() {
	if w.resp3 {
		w.b = append(w.b, "_\r\n"...)
	} else {
		w.b = redcon.AppendNull(w.b)
	}
}

// nullArray writes that there is no array.
func (w *writer) nullArray() {
	if w.resp3 {
		w.null()
	} else {
		w.b = append(w.b, "*-1\r\n"...)
	}
}

// array begins an array of n answers.
func (w *writer) array(n int) { w.b = redcon.AppendArray(w.b, n) }

// dict begins a map of n pairs. In RESP2 it is an array of twice as many.
func (w *writer) dict(n int) {
	if !w.resp3 {
		w.array(2 * n)
		return
	}
	w.b = append(strconv.AppendInt(append(w.b, '%'), int64(n), 10), "\r\n"...)
}

// verbatim writes a text for people.
func (w *writer) verbatim(s string) {
	if !w.resp3 {
		w.text(s)
		return
	}
	w.b = append(strconv.AppendInt(append(w.b, '='), int64(len(s)+4), 10), "\r\ntxt:"...)
	w.b = append(append(w.b, s...), "\r\n"...)
}

// flushSome sends what waits if it is much.
func (w *writer) flushSome() {
	if len(w.b) >= flushAt && w.to != nil {
		w.flush()
	}
}

// flush sends what waits.
func (w *writer) flush() {
	if len(w.b) > 0 {
		w.send(w.b)
	}
	if w.b = w.b[:0]; cap(w.b) > 2*flushAt {
		w.b = nil
	}
}

func (w *writer) send(b []byte) {
	if w.err != nil {
		return
	}
	if now := time.Now(); w.until.Sub(now) < writeTimeout { // not at each answer: that costs as much as the rest of it
		w.until = now.Add(2 * writeTimeout)
		w.err = w.to.SetWriteDeadline(w.until)
	}
	if w.err == nil {
		_, w.err = w.to.Write(b)
	}
}
