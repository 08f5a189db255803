package transport

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A connection that means another node than the one it has reached is refused with this byte, one byte for a length, and so many of
// text. No lane's own answer begins with it: calls begin with 0x01, gRPC with 0x00, Raft's answers with a string.
const laneRefused = 0xfe

// RefusedError is what the dialer of a connection reads if another node than the one it means answers at the address.
type RefusedError struct {
	Address string
	Wanted  string // the name of whom the connection means
	Answers string // what the other end says it is
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s answers at %s, where %s is expected", e.Answers, e.Address, e.Wanted)
}

// refusalLinger bounds how long the port waits for the other end to have read the refusal: a connection that is closed with
// bytes unread loses what it has sent.
const refusalLinger = time.Second

// refuse says why, if there is something to say, and closes the connection.
func (p *Port) refuse(c net.Conn, name string) {
	defer func() { _ = c.Close() }()
	text := p.cfg.Refusal(name)
	if text == "" {
		return
	}
	text = text[:min(len(text), MaxName)]
	if c.SetDeadline(time.Now().Add(refusalLinger)) != nil {
		return
	}
	if _, err := c.Write(append([]byte{laneRefused, byte(len(text))}, text...)); err == nil {
		_, _ = io.CopyN(io.Discard, c, 1<<16) // until the other end closes
	}
}

// named is the dialer's end of a connection that names whom it means.
type named struct {
	net.Conn
	address, name string
	heard         bool // a first byte has come
	answered      func(address string, refused *RefusedError)
}

// NetConn is the connection under it, for its socket.
func (c *named) NetConn() net.Conn { return c.Conn }

// Read knows a refusal by its first byte. One goroutine at a time reads.
func (c *named) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.heard || n == 0 {
		return n, err
	}
	c.heard = true
	var refused *RefusedError
	if b[0] == laneRefused {
		refused = &RefusedError{Address: c.address, Wanted: c.name, Answers: refusalText(io.MultiReader(bytes.NewReader(bytes.Clone(b[1:n])), c.Conn))}
	}
	if c.answered != nil {
		c.answered(c.address, refused)
	}
	if refused != nil {
		return 0, refused
	}
	return n, err
}

// refusalText reads what follows the first byte, as much of it as comes.
func refusalText(r io.Reader) string {
	var size [1]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "another node"
	}
	text := make([]byte, size[0])
	n, _ := io.ReadFull(r, text)
	return strings.ToValidUTF8(string(text[:n]), "?")
}
