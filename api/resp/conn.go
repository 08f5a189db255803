package resp

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

const (
	// maxBatch bounds the commands that are taken together.
	maxBatch = 256
	// arriveWithin is the time that a command has to arrive, from its first byte on.
	arriveWithin = 30 * time.Second
	// maxWrongInARow is how many wrong tokens in a row end a connection.
	maxWrongInARow = 10
)

// conn is one connection. It belongs to the goroutine that serves it, but for idle.
type conn struct {
	server *Server
	net.Conn
	id    uint64
	since time.Time
	in    *reader
	out   *writer
	batch []call // the commands that have come together

	timed bool         // there is a deadline for what is read
	idle  atomic.Int64 // when it began to wait for a command, in Unix nanoseconds; 0 while it carries out some

	ctx     context.Context // of its requests, with their principal
	caller  front.Caller
	note    front.Note // of what the request under way has asked of caller
	allowed error      // of the principal, for the commands under way: nil if it may ask anything
	wrong   int        // wrong tokens in a row
	name    string
	library [2]string // its name and its version, as the client says
	db      int
	space   space
	stale   bool // reads may be stale

	run     []entry // the commands under way that share a request
	request api.ReadRequest
	result  api.ReadResult
	size    int64 // of the values in result

	multi   *transaction // nil outside MULTI
	watched []api.Cond   // the versions of the watched keys
	ending  bool         // the connection ends after the answers

	kept     account // what the client has sent, of the memory of all connections
	watching int64   // of it, what the watched keys take

	unread    account      // what the answer takes that is under way
	holds     bool         // it may have taken something
	accepting atomic.Int64 // since when the client may accept it, in Unix nanoseconds; 0 if there is none

	shed   error // why a write of the batch was refused for load; nil if none was
	waited bool  // a request of the batch has waited to be let in, and was refused
}

func newConn(s *Server, c net.Conn, id uint64) *conn {
	k := &conn{server: s, Conn: c, id: id, since: time.Now(), out: &writer{to: c}, batch: make([]call, 0, 16)}
	k.kept.memory, k.unread.memory = &s.memory, &s.answers
	k.in = newReader(c, &k.kept)
	k.choose(0)
	_ = k.become("") // the anonymous principal is never refused
	return k
}

// serve answers the commands of the connection until it ends.
func (c *conn) serve() {
	defer c.in.close()
	for !c.ending && c.out.err == nil {
		if !c.gather() {
			return
		}
		if err := c.answer(); err != nil {
			c.out.error(errorText(err, true))
			c.ending = true
		}
		c.out.flush()
	}
}

// gather waits for commands, and takes those that have come whole, or one of a stranger: what a client may send after it depends on
// whether it authenticates the client. It returns false if the connection ends.
func (c *conn) gather() bool {
	c.letGo()
	most := maxBatch
	if c.in.stranger {
		most = 1
	}
	for {
		for len(c.batch) < most {
			next := c.slot()
			ok, err := c.in.next(next)
			if err != nil {
				return c.broken(err)
			}
			if !ok {
				break
			}
			c.batch = c.batch[:len(c.batch)+1]
		}
		if len(c.batch) > 0 {
			return true
		}
		if !c.wait() {
			return false
		}
	}
}

// keptArgs is for how many arguments a place of the batch keeps room.
const keptArgs = 16

// letGo forgets the commands of the batch, and so what they came in, which may be large.
func (c *conn) letGo() {
	for i := range c.batch {
		x := &c.batch[i]
		if clear(x.args); cap(x.args) > keptArgs {
			x.args = nil
		}
	}
	c.batch = c.batch[:0]
}

// slot returns the place of the next command of the batch.
func (c *conn) slot() *call {
	if n := len(c.batch); n == cap(c.batch) {
		c.batch = append(c.batch, call{})[:n]
	}
	return &c.batch[:len(c.batch)+1][len(c.batch)]
}

// broken ends a connection whose client has sent what is not the protocol: what it sent before is answered first.
func (c *conn) broken(err error) bool {
	c.batch = append(c.batch, call{refused: err.Error(), ends: true})
	return true
}

// wait reads what the client sends next.
func (c *conn) wait() bool {
	if !c.patience() {
		return false
	}
	c.idle.Store(time.Now().UnixNano())
	if c.server.closing() { // after idle: either Close finds the connection idle, or it finds the server closing
		return false
	}
	err := c.in.fill()
	c.idle.Store(0)
	return err == nil
}

// patience sets how long to wait for the client: until the command has come that has begun to, else for ever, since a client may be
// idle for as long as there is room for it.
func (c *conn) patience() bool {
	if !c.in.partial() {
		if c.timed {
			c.timed = false
			return c.SetReadDeadline(time.Time{}) == nil
		}
		return true
	}
	if c.in.began.IsZero() {
		c.in.began = time.Now()
	}
	c.timed = true
	return c.SetReadDeadline(c.in.began.Add(arriveWithin)) == nil
}

// answer carries out the commands of the batch and writes their answers. An error is a fault of the program.
func (c *conn) answer() (err error) {
	defer c.server.backend.Faults.Catch("resp", &err)
	c.judge()
	c.shed, c.waited = nil, false
	c.server.commands.Add(uint64(len(c.batch)))
	for i := 0; i < len(c.batch) && !c.ending; {
		i += c.carryOut(c.batch[i:])
		c.out.flushSome()
		if c.holds {
			c.release()
		}
		c.space.reset()
		clear(c.run)
		c.run, c.request = c.run[:0], api.ReadRequest{}
	}
	return nil
}
