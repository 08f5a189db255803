package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A connection that names another node than the one it has reached is refused with this byte, one byte for the length of a text,
// and the text. No lane's own answer begins with it: calls begin with 0x01, gRPC with 0x00, Raft's answers with a string.
const laneRefused = 0xfe

// A connection whose other end is denied gets this byte and two texts, each after one byte with its length: the word of the reason,
// and a text for people.
const laneDenied = 0xfd

// Denied is the error of [Config.Identify] that is sent to the other end. Only a node that has proved its identity should get it.
type Denied struct {
	Why  string // one word, for programs
	Text string
}

func (e *Denied) Error() string { return e.Text }

// RefusedError is returned by the first Read of a connection if another node than the named one answers at the address, or the node
// there denies this one.
type RefusedError struct {
	Address string
	Wanted  string // the name that the connection was dialled for
	Answers string // what the node at the address says it is, or why it denies this one
	Why     string // the word of the reason for which this node is denied; "" if it is not
}

func (e *RefusedError) Error() string {
	if e.Why != "" {
		return fmt.Sprintf("the node at %s refuses this one: %s", e.Address, e.Answers)
	}
	return fmt.Sprintf("%s answers at %s, where %s is expected", e.Answers, e.Address, e.Wanted)
}

// refusalLinger bounds how long the port waits until the other end has read the refusal: to close a connection with unread bytes
// loses what was sent on it.
const refusalLinger = time.Second

// refuse sends the text of [Config].Refusal, if there is one, and closes the connection.
func (p *Port) refuse(c net.Conn, name string) {
	defer func() { _ = c.Close() }()
	text := p.cfg.Refusal(name)
	if text == "" {
		return
	}
	answer(c, laneRefused, text)
}

// deny sends the reason to the other end if err is a [Denied], and closes the connection.
func (p *Port) deny(c net.Conn, err error) {
	defer func() { _ = c.Close() }()
	if d, ok := errors.AsType[*Denied](err); ok {
		answer(c, laneDenied, d.Why, d.Text)
	}
}

// answer sends the texts after the byte, and waits until the other end closes.
func answer(c net.Conn, lane byte, texts ...string) {
	message := []byte{lane}
	for _, t := range texts {
		t = t[:min(len(t), MaxName)]
		message = append(append(message, byte(len(t))), t...)
	}
	if c.SetDeadline(time.Now().Add(refusalLinger)) != nil {
		return
	}
	if _, err := c.Write(message); err == nil {
		drain(c)
	}
}

// drain reads what the other end has sent, until it closes or the connection's deadline has come.
func drain(c net.Conn) { _, _ = io.CopyN(io.Discard, c, 1<<16) }

// named is the dialer's end of a connection that names a node.
type named struct {
	net.Conn
	address, name string
	heard         bool // a first byte has come
	answered      func(address string, refused *RefusedError)
}

// NetConn returns the wrapped connection, for its socket.
func (c *named) NetConn() net.Conn { return c.Conn }

// Read returns a RefusedError if the first byte is that of a refusal. One goroutine at a time may read.
func (c *named) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.heard || n == 0 {
		return n, err
	}
	c.heard = true
	var refused *RefusedError
	if b[0] == laneRefused || b[0] == laneDenied {
		rest := io.MultiReader(bytes.NewReader(bytes.Clone(b[1:n])), c.Conn)
		refused = &RefusedError{Address: c.address, Wanted: c.name}
		if b[0] == laneDenied {
			refused.Why = refusalText(rest)
		}
		refused.Answers = refusalText(rest)
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
		return "a node that says no more"
	}
	text := make([]byte, size[0])
	n, _ := io.ReadFull(r, text)
	return strings.ToValidUTF8(string(text[:n]), "?")
}
