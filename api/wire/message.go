package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/edgehold/edgehold/api"
)

// kind is what a message is. The numbers are part of the wire.
type kind byte

const (
	kindRead    kind = 1
	kindDo      kind = 2
	kindCancel  kind = 3
	kindResult  kind = 4
	kindError   kind = 5
	kindGoodbye kind = 6
)

// MaxMessageBytes bounds one message: the largest transaction, with what its results add.
const MaxMessageBytes = 2*api.MaxTxnBytes + 1<<20

const lengthBytes = 4

// message puts a message, its body put by body.
func (w *writer) message(k kind, id uint64, body func(w *writer)) {
	start := len(w.b)
	w.b = append(w.b, 0, 0, 0, 0)
	w.byte(byte(k))
	w.uint(id)
	if body != nil {
		body(w)
	}
	binary.BigEndian.PutUint32(w.b[start:], uint32(len(w.b)-start-lengthBytes))
}

// message is one message taken off the connection. Its body is valid until the next one is.
type message struct {
	kind kind
	id   uint64
	size int
	body reader
}

// inbox takes messages off a connection.
type inbox struct {
	conn io.Reader
	more bool // the last read of the connection brought all that was asked for: there may be more
	from *bufio.Reader
	max  uint32 // bytes of a message
	buf  []byte
}

// readBufferBytes is how much one read of the connection may bring; maxKeptBytes the largest buffer that outlives its message.
const (
	readBufferBytes = 32 << 10
	maxKeptBytes    = 256 << 10
)

func newInbox(r io.Reader, limit int) *inbox {
	in := &inbox{conn: r, max: uint32(limit)}
	in.from = bufio.NewReaderSize(in, readBufferBytes)
	return in
}

// Read reads from the connection, for from.
func (in *inbox) Read(b []byte) (int, error) {
	n, err := in.conn.Read(b)
	in.more = n == len(b)
	return n, err
}

func (in *inbox) next() (message, error) {
	length, err := in.from.Peek(lengthBytes)
	if err != nil {
		if len(length) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return message{}, err
	}
	n := binary.BigEndian.Uint32(length)
	_, _ = in.from.Discard(lengthBytes) // they are there
	if n < 2 || n > in.max {
		return message{}, malformed(fmt.Sprintf("a message of %d bytes", n))
	}
	b, err := in.take(int(n))
	if err != nil {
		return message{}, err
	}
	m := message{kind: kind(b[0]), size: int(n), body: reader{b: b[1:]}}
	m.id = m.body.uint()
	if m.body.bad != "" {
		return message{}, malformed(m.body.bad)
	}
	return m, nil
}

// ready tells whether next need not wait.
func (in *inbox) ready() bool {
	n := in.from.Buffered()
	if n < lengthBytes {
		return false
	}
	length, err := in.from.Peek(lengthBytes)
	return err == nil && n-lengthBytes >= int(binary.BigEndian.Uint32(length))
}

// take returns the next n bytes, in a buffer that the next call uses again.
func (in *inbox) take(n int) ([]byte, error) {
	if cap(in.buf) < n || cap(in.buf) > maxKeptBytes {
		in.buf = make([]byte, max(n, 4<<10))
	}
	b := in.buf[:n]
	if _, err := io.ReadFull(in.from, b); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// end is an error unless the whole body has been read, and nothing in it was wrong.
func (m *message) end() error {
	if m.body.bad == "" && len(m.body.b) > 0 {
		m.body.fail("bytes after the end")
	}
	if m.body.bad != "" {
		return malformed(m.body.bad)
	}
	return nil
}

func malformed(what string) error {
	return &api.Error{Code: api.CodeInvalid, Op: "wire", Hint: "the other side does not speak " + Protocol + ": " + what}
}
