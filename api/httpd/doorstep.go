package httpd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/edgehold/edgehold/api"
)

// By the time a handler can refuse a request, net/http has done most of what it does for one that is served. Under a storm of
// connections the refusals then take more of the processors than what is served, and, since Go runs what is ready in the
// order in which it became so, Raft's heartbeats wait for all of them. So where a node has much to do, its connections look
// at the beginning of a request before net/http does: one that is there as a whole, and would be refused for load, is
// answered on the spot, and net/http goes on waiting. All else goes to net/http as it came, and so does what is not clearly
// the beginning.

// crowded tells whether so much is under way that a request might be refused.
func (h *handler) crowded() bool { return h.inFlight.Load() >= int64(h.CalmInFlight)/2 }

// netBuffer is how much net/http asks for where it holds nothing that it has not used.
var netBuffer = bufio.NewReader(nil).Size()

// readStart reads what may begin a request, past all that are refused.
func (c *conn) readStart(b []byte) (n int, err error) {
	was := c.stage
	into := b
	switch {
	case was != fresh && (was != waiting || len(b) != netBuffer): // net/http holds the beginning already
		c.stage = underWay
		c.restIdle()
		return c.Conn.Read(b)
	case c.of.api == nil || c.of.api.head == nil:
		c.stage = underWay
		c.restIdle()
		return c.readFirst(b)
	case was == fresh: // net/http asks for a few bytes, to see whether they begin HTTP/2
		into = make([]byte, netBuffer)
	}
	n, refused, err := c.readPastRefused(into)
	c.stage = underWay
	if was != fresh || n == 0 {
		return n, err
	}
	if refused { // net/http has set a deadline when the connection began
		_ = c.SetReadDeadline(time.Now().Add(c.of.http.ReadHeaderTimeout))
	}
	taken := copy(b, into[:n])
	if taken < n {
		c.unread = into[taken:n]
	}
	return taken, nil // an error comes again
}

// readFirst reads the first bytes of a request, without the empty lines before it: RFC 9112, section 2.2, asks servers to skip
// them, and net/http does not. A client that sends nothing else is cut off by the deadline for a request's header.
func (c *conn) readFirst(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		start := bytes.TrimLeft(b[:n], "\r\n")
		if len(start) > 0 || n == 0 || err != nil {
			return copy(b, start), err
		}
	}
}

// restIdle returns when the connection is to be read again, and from then on may be idle.
func (c *conn) restIdle() {
	if c.away.now {
		c.rest()
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.of.http.IdleTimeout))
	}
}

// readPastRefused reads until there is something that is not to be refused, or an error. It tells whether something was.
func (c *conn) readPastRefused(b []byte) (n int, refused bool, err error) {
	for {
		c.restIdle()
		n, err = c.readFirst(b)
		if n == 1 && err == nil { // by which the port has found its lane
			n, err = c.Conn.Read(b[1:])
			n++
		}
		if err != nil {
			return n, refused, err
		}
		told := c.turnAway(b[:n])
		if told == nil {
			return n, refused, nil
		}
		if !refused && c.stage == fresh { // net/http does not see that it is idle
			defer context.AfterFunc(c.of.draining, func() { _ = c.Close() })()
		}
		refused = true
		_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err = c.Conn.Write(told); err != nil {
			_ = c.Close() // else net/http might read on behind half of an answer
			return 0, refused, err
		}
	}
}

// spareRoom is the part of what is under way that must be free beside, where the connection does not wait as it is told: it
// would take the place of one that is served. A node does half as much again for some hundred connections that it has at hand
// as for thousands by turns, of each of which it has to fetch everything from memory.
const spareRoom = 3

// turnAway takes note of the request that b is, where it is one as a whole and refused for load, and returns what to answer;
// nil where net/http is to see it.
func (c *conn) turnAway(b []byte) []byte {
	h := c.of.api
	if !h.crowded() {
		return nil
	}
	began := time.Now()
	r := wholeRequest(b)
	if r == nil {
		return nil
	}
	n := h.inFlight.Load() + 1
	if c.away.rests > 0 && began.Before(c.away.early) {
		n += n / spareRoom
	}
	res, e := h.refuses(r, n)
	if e == nil {
		return nil
	}
	c.away.begun()
	t := h.turnedAway(e, r, c.away.refused(began))
	h.measures.observe(new([2]string), res.name, http.StatusServiceUnavailable, time.Since(began))
	if r.Method == http.MethodHead {
		return t.whole[:len(t.whole)-len(t.body)]
	}
	return t.whole
}

// wholeRequest is the request of HTTP/1.1 that b is; nil where it is none, or not to its end, or more than one, or one after which
// the connection is not to go on as before. Its body has been skipped.
func wholeRequest(b []byte) *http.Request {
	p := parsers.Get().(*parser)
	defer parsers.Put(p)
	p.from.Reset(b)
	defer p.from.Reset(nil)
	p.in.Reset(&p.from)
	r, err := http.ReadRequest(p.in)
	if err != nil || r.Proto != "HTTP/1.1" || r.Header["Expect"] != nil || r.Header["Upgrade"] != nil || !goesOn(r) || !sound(r) ||
		r.ContentLength != int64(p.in.Buffered()+p.from.Len()) {
		return nil
	}
	r.Body = http.NoBody
	return r
}

// parser takes a request apart.
type parser struct {
	from bytes.Reader
	in   *bufio.Reader
}

var parsers = sync.Pool{New: func() any { return &parser{in: bufio.NewReader(nil)} }}

// goesOn tells whether the client wants to use the connection for more.
func goesOn(r *http.Request) bool {
	c := r.Header["Connection"]
	return len(c) == 0 || len(c) == 1 && strings.EqualFold(c[0], "keep-alive")
}

// sound tells whether net/http's server would let the request pass: it asks for more than http.ReadRequest does. Else the
// two might not agree on where the request ends.
func sound(r *http.Request) bool {
	if r.Host == "" || r.URL.Host != "" || !httpguts.ValidHostHeader(r.Host) {
		return false
	}
	for name, values := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) || !allValid(values) {
			return false
		}
	}
	return true
}

func allValid(values []string) bool {
	for _, v := range values {
		if !httpguts.ValidHeaderFieldValue(v) {
			return false
		}
	}
	return true
}

// refuses tells whether a request, the n-th in flight, is refused for load before anything is begun for it; nil where it is not,
// or its handler is the one to say no.
func (h *handler) refuses(r *http.Request, n int64) (*resource, *api.Error) {
	res, key := h.resource(r.URL)
	if res == nil || res.methods[r.Method] == nil || res.probe {
		return nil, nil
	}
	x := exchange{handler: h, r: r}
	_, err := x.parseQuery(res.params)
	if err = errors.Join(err, h.origin.Check(r)); err != nil {
		return nil, nil //nolint:nilerr // the handler tells it
	}
	e := h.room(n)
	if e == nil && key != "" {
		e = h.atOwner(key, r.Method != http.MethodGet && r.Method != http.MethodHead, x.asksOwner(), n)
	}
	return res, e
}
