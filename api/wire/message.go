package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// kind is the kind of a message. The numbers are part of the encoding.
type kind byte

const (
	kindRead    kind = 1
	kindDo      kind = 2
	kindCancel  kind = 3
	kindResult  kind = 4
	kindError   kind = 5
	kindGoodbye kind = 6
	kindRefused kind = 7
)

// MaxMessageBytes bounds one message: the largest answer of a read with its keys, and the largest transaction with its results.
const MaxMessageBytes = 20 << 20

const lengthBytes = 4

// putMessage writes a message. body writes the message's own part.
func putMessage(w *codec.Writer, k kind, id uint64, body func(w *codec.Writer)) {
	start := len(w.B)
	w.B = append(w.B, 0, 0, 0, 0)
	w.Byte(byte(k))
	w.Uint(id)
	if body != nil {
		body(w)
	}
	binary.BigEndian.PutUint32(w.B[start:], uint32(len(w.B)-start-lengthBytes))
}

// message is one received message. It is valid until the next one is taken.
type message struct {
	kind kind
	id   uint64
	size int
	body codec.Reader
}

// inbox reads messages from a connection without copying them. It belongs to one goroutine.
type inbox struct {
	conn     io.Reader
	max      uint32 // bytes of a message
	buf      []byte
	from, to int  // the part of buf that was read and not yet taken
	more     bool // the last read of the connection filled the buffer, so there may be more
	got      message
}

// readBufferBytes is the most that one read of the connection returns. maxKeptBytes is the largest buffer that is kept after its
// message.
const (
	readBufferBytes = 32 << 10
	maxKeptBytes    = 256 << 10
)

func newInbox(r io.Reader, limit int) *inbox {
	return &inbox{conn: r, max: uint32(limit), buf: make([]byte, readBufferBytes)}
}

func (in *inbox) next() (*message, error) {
	head, err := in.peek(lengthBytes)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n < 2 || n > in.max {
		return nil, malformed(fmt.Sprintf("a message of %d bytes", n))
	}
	whole, err := in.peek(lengthBytes + int(n))
	if err != nil {
		return nil, err
	}
	in.from += len(whole)
	b := whole[lengthBytes:]
	m := &in.got
	*m = message{kind: kind(b[0]), size: int(n), body: codec.Reader{Message: true, B: b[1:]}}
	m.id = m.body.Uint()
	if m.body.Fault() != "" {
		return nil, malformed(m.body.Fault())
	}
	return m, nil
}

// ready reports whether next returns without waiting.
func (in *inbox) ready() bool {
	n := in.to - in.from
	return n >= lengthBytes && n-lengthBytes >= int(binary.BigEndian.Uint32(in.buf[in.from:]))
}

// peek returns the next n bytes. It reads them if necessary.
func (in *inbox) peek(n int) ([]byte, error) {
	for in.to-in.from < n {
		in.makeRoom(n)
		got, err := in.conn.Read(in.buf[in.to:])
		in.more = in.to+got == len(in.buf)
		if in.to += got; err != nil && in.to-in.from < n {
			if errors.Is(err, io.EOF) && in.to > in.from {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return in.buf[in.from : in.from+n], nil
}

// makeRoom makes room for n consecutive bytes, some of which have not been read yet.
func (in *inbox) makeRoom(n int) {
	held, to := in.buf[in.from:in.to], in.buf
	if len(to) < n || len(to) > max(n, maxKeptBytes) {
		to = make([]byte, max(n, readBufferBytes))
	}
	in.from, in.to, in.buf = 0, copy(to, held), to
}

// end returns an error unless the whole body has been read and was valid.
func (m *message) end() error {
	if m.body.End(); m.body.Fault() != "" {
		return malformed(m.body.Fault())
	}
	return nil
}

func malformed(what string) error {
	return &api.Error{Code: api.CodeInvalid, Op: "wire", Hint: "the other side does not speak " + Protocol + ": " + what}
}
