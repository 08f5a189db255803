package resp

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

// The limits of what a client may send. A command over one of the first group is read, dropped and refused, and the connection goes
// on. One over a limit of the second group ends the connection, as Redis does it.
const (
	// MaxArgs bounds the arguments of a command, its name among them.
	MaxArgs = 2*api.MaxTxnOps + 16
	// MaxArgBytes bounds one argument, and MaxCommandBytes all arguments of a command.
	MaxArgBytes     = api.MaxValueBytes
	MaxCommandBytes = api.MaxTxnBytes

	maxArray  = 1 << 20   // arguments
	maxBulk   = 512 << 20 // bytes of an argument
	maxLength = 32        // bytes of a line with a length

	// Of a client that has not authenticated itself, and must. So it takes next to nothing of the memory of all connections.
	strangeBytes = 16 << 10 // bytes of all arguments
	strangers    = 10       // arguments
)

// The sizes of the buffer of a connection. What is larger is taken from the memory of all connections.
const (
	firstBuffer = 4 << 10
	freeBuffer  = 16 << 10
)

// protocolError ends a connection.
type protocolError string

func (e protocolError) Error() string { return "ERR Protocol error: " + string(e) }

// call is one command as it came.
type call struct {
	// args are its arguments, of which the first is its name. They are valid until the reader is filled.
	args [][]byte
	// refused is the error of a command that was not kept, because it is over a limit; "" if it was.
	refused string
	ends    bool // the connection ends after it
}

// reader finds commands in what a client sends. It keeps at most a command and what came with it. It belongs to one goroutine.
type reader struct {
	from   io.Reader
	memory *account
	// stranger is set for a client that must authenticate itself and has not.
	stranger bool

	buf        []byte
	start, end int       // buf[start:end] has been read, and is not part of a command that next has returned
	taken      int64     // of memory
	full       bool      // the last read filled the buffer
	began      time.Time // when the command began to come that has not come whole; zero until the reader is filled for it

	// The command that is being read. Offsets are from start.
	left    int    // arguments that have not been read; 0: the command's header has not been read
	bulk    int    // the length of the next argument; -1: that has not been read
	at      int    // the offset of what is to be read next
	size    int    // of the arguments so far
	spans   []span // the arguments so far
	refused string
	skip    int // bytes of the argument that are to be dropped, if the command is refused
}

// span is where an argument is.
type span struct{ from, to int }

func newReader(from io.Reader, m *account) *reader { return &reader{from: from, memory: m, bulk: -1} }

// keptSpans is for how many arguments a reader keeps room.
const keptSpans = 256

// partial reports whether a part of a command has come.
func (r *reader) partial() bool { return r.start < r.end || r.left > 0 }

// next puts the next command that has come whole into c. ok is false if there is none: then the reader is to be filled, once the
// commands that it has returned are done with. An error is a protocolError, and ends the connection.
func (r *reader) next(c *call) (ok bool, err error) {
	for r.left == 0 {
		if ok, err := r.header(); !ok || err != nil {
			return false, err
		}
	}
	for r.left > 0 {
		if r.bulk < 0 {
			if ok, err := r.argument(); !ok || err != nil {
				return false, err
			}
		}
		if ok, err := r.take(); !ok || err != nil {
			return false, err
		}
		r.left--
		r.bulk = -1
	}
	c.refused, c.ends, c.args = r.refused, false, c.args[:0]
	for _, s := range r.spans {
		c.args = append(c.args, r.buf[r.start+s.from:r.start+s.to:r.start+s.to])
	}
	r.start += r.at
	r.at, r.size, r.refused, r.spans, r.began = 0, 0, "", r.spans[:0], time.Time{}
	if cap(r.spans) > keptSpans {
		r.spans = nil
	}
	return true, nil
}

// header reads how many arguments the next command has.
func (r *reader) header() (ok bool, err error) {
	n, ok, err := r.length('*', "invalid multibulk length", "too big mbulk count string")
	switch {
	case !ok || err != nil:
		return false, err
	case n > maxArray:
		return false, protocolError("invalid multibulk length")
	case n > strangers && r.stranger:
		return false, protocolError("unauthenticated multibulk length")
	case n <= 0: // Redis takes no notice of an empty command
		r.start += r.at
		r.at, r.began = 0, time.Time{}
		return true, nil
	case n > MaxArgs:
		r.refuse(fmt.Sprintf("ERR command of %d arguments is over the limit of %d arguments", n, MaxArgs))
	}
	r.left = n
	return true, nil
}

// argument reads how long the next argument is.
func (r *reader) argument() (ok bool, err error) {
	n, ok, err := r.length('$', "invalid bulk length", "too big bulk count string")
	switch {
	case !ok || err != nil:
		return false, err
	case n < 0 || n > maxBulk:
		return false, protocolError("invalid bulk length")
	case r.size+n > strangeBytes && r.stranger:
		return false, protocolError("unauthenticated bulk length")
	case n > MaxArgBytes:
		r.refuse(fmt.Sprintf("ERR argument of %d bytes is over the limit of %d bytes", n, MaxArgBytes))
	case r.size+n > MaxCommandBytes:
		r.refuse(fmt.Sprintf("ERR command of at least %d bytes is over the limit of %d bytes", r.size+n, MaxCommandBytes))
	}
	r.size = min(r.size+n, MaxCommandBytes)
	r.bulk, r.skip = n, n+2
	return true, nil
}

// take reads an argument whose length is known, or drops it.
func (r *reader) take() (ok bool, err error) {
	if r.refused != "" {
		n := min(r.skip, r.end-r.start)
		r.start += n
		r.skip -= n
		return r.skip == 0, nil
	}
	from := r.start + r.at
	if r.end-from < r.bulk+2 {
		return false, nil
	}
	if r.buf[from+r.bulk] != '\r' || r.buf[from+r.bulk+1] != '\n' {
		return false, protocolError("expected CRLF after an argument")
	}
	r.spans = append(r.spans, span{r.at, r.at + r.bulk})
	r.at += r.bulk + 2
	return true, nil
}

// length reads a line with a length, which begins with kind.
func (r *reader) length(kind byte, invalid, tooLong protocolError) (n int, ok bool, err error) {
	rest := r.buf[r.start+r.at : r.end]
	if len(rest) == 0 {
		return 0, false, nil
	}
	if rest[0] != kind {
		return 0, false, protocolError(fmt.Sprintf("expected '%c', got %q", kind, rest[0]))
	}
	end := bytes.IndexByte(rest[:min(len(rest), maxLength)], '\n')
	switch {
	case end < 0 && len(rest) < maxLength:
		return 0, false, nil
	case end < 0:
		return 0, false, tooLong
	case end < 2 || rest[end-1] != '\r':
		return 0, false, invalid
	}
	n, good := decimal(rest[1 : end-1])
	if !good {
		return 0, false, invalid
	}
	if r.at += end + 1; r.refused != "" {
		r.start += r.at
		r.at = 0
	}
	return n, true, nil
}

// decimal parses a length.
func decimal(b []byte) (n int, ok bool) {
	if len(b) == 1 && b[0] >= '0' && b[0] <= '9' { // most have one digit
		return int(b[0] - '0'), true
	}
	v, err := strconv.ParseInt(string(b), 10, 32)
	return int(v), err == nil && b[0] != '+'
}

// refuse drops what has come of the command, and what comes of it.
func (r *reader) refuse(why string) {
	r.start += r.at
	r.at, r.refused, r.spans = 0, why, r.spans[:0]
}

// fill reads from the client once. What next has returned is not valid any more.
func (r *reader) fill() error {
	r.makeRoom()
	n, err := r.from.Read(r.buf[r.end:])
	if r.began.IsZero() {
		r.began = time.Now()
	}
	r.end += n
	r.full = r.end == len(r.buf)
	if n > 0 {
		return nil // an error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// makeRoom moves what has been read to the beginning of the buffer, and makes the buffer as large as the argument needs that is being
// read, and smaller again after one.
func (r *reader) makeRoom() {
	have := r.end - r.start
	want := len(r.buf)
	switch {
	case have == 0 && r.taken > 0 && r.left == 0:
		want = freeBuffer
	case r.full && want < freeBuffer:
		want = freeBuffer
	case want == 0:
		want = firstBuffer
	case have == len(r.buf):
		want = 2 * len(r.buf)
	}
	if r.refused == "" && r.bulk >= 0 {
		want = max(want, r.at+r.bulk+2)
	}
	r.full = false
	if want != len(r.buf) && !r.resize(want, have) {
		r.refuse("TRYAGAIN the node has no room for a command of this size at present")
		if n := min(r.skip, r.end-r.start); r.bulk >= 0 {
			r.start += n
			r.skip -= n
		}
		have = r.end - r.start
	}
	copy(r.buf, r.buf[r.start:r.end])
	r.start, r.end = 0, have
}

// resize gives the buffer another size, and reports whether there is memory for it.
func (r *reader) resize(size, have int) bool {
	taken := int64(max(0, size-freeBuffer))
	if !r.memory.take(taken - r.taken) {
		return false
	}
	r.taken = taken
	buf := make([]byte, size)
	copy(buf, r.buf[r.start:r.end])
	r.buf, r.start, r.end = buf, 0, have
	return true
}

// close gives back what the reader has taken.
func (r *reader) close() {
	r.memory.give(r.taken)
	r.taken, r.buf = 0, nil
}
