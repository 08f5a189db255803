package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
)

// A request that net/http cannot read (a bad percent escape, a header over the limit, no HTTP at all) never reaches a
// handler: net/http answers it in plain text, straight on the connection. retellingConn puts a problem in its place, so
// that every error of HTTP/1.1 is one.

// retellingListener makes each connection one that retells.
type retellingListener struct {
	net.Listener
	maxHeader int
}

func (l retellingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &retellingConn{Conn: c, maxHeader: l.maxHeader}, nil
}

type retellingConn struct {
	net.Conn
	maxHeader int
	// answering: what is written belongs to a handler's answer, whose bytes are nobody's to change. shared: so it is for
	// the rest of the connection's life, since the streams of HTTP/2 mix their answers, or the handler has taken it over.
	answering, shared atomic.Bool
	// done: the handler has returned, its answer is not complete; see gone.go.
	done atomic.Bool
	// head and value are to be put in the answer that comes next; see head.go. They, and away, belong to the one goroutine that
	// answers requests of HTTP/1.1 and writes their answers; with HTTP/2 they stay empty.
	head, value []byte
	away        away
}

// begun notes that a handler is about to answer the request, and returns the connection; nil for one of another kind.
func begun(r *http.Request) *retellingConn {
	c, ok := r.Context().Value(connKey{}).(*retellingConn)
	if ok {
		c.answering.Store(true)
		if r.ProtoMajor > 1 {
			c.shared.Store(true)
		} else {
			c.head, c.value = c.head[:0], nil
			c.away.begun()
		}
	}
	return c
}

// observeState notes that an answer is complete, or the connection taken over by its handler.
func observeState(c net.Conn, s http.ConnState) {
	r, ok := c.(*retellingConn)
	switch {
	case ok && s == http.StateIdle:
		r.done.Store(false)
		r.answering.Store(false)
	case ok && s == http.StateHijacked:
		r.shared.Store(true)
	}
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// Write passes b on, or the problem that stands for it.
func (c *retellingConn) Write(b []byte) (int, error) {
	if c.hasHead(b) {
		return c.writeHead(b)
	}
	status, reason, ok := 0, "", false
	if !c.answering.Load() && !c.shared.Load() {
		status, reason, ok = plainRefusal(b)
	}
	if !ok {
		return c.Conn.Write(b)
	}
	if _, err := c.Conn.Write(c.refusal(status, reason)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// NetConn is the connection under it, for its socket.
func (c *retellingConn) NetConn() net.Conn { return c.Conn }

// CloseWrite lets net/http say that nothing follows a refusal, before it closes the connection.
func (c *retellingConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// plainHeaders are all that net/http sends between the status line and the text of a refusal.
const plainHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// plainRefusal reads a refusal in net/http's words: the status, and what it says beyond the status's name, if anything.
func plainRefusal(b []byte) (status int, reason string, ok bool) {
	line, rest, ok := bytes.Cut(b, []byte("\r\n"))
	text, isHTTP := strings.CutPrefix(string(line), "HTTP/1.1 ")
	if !ok || !isHTTP || !bytes.HasPrefix(rest, []byte(plainHeaders[2:])) {
		return 0, "", false
	}
	number, name, _ := strings.Cut(text, " ")
	if status, _ = strconv.Atoi(number); status < 400 || status > 599 {
		return 0, "", false
	}
	_, reason, _ = strings.Cut(name, ": ")
	return status, reason, true
}

// refusal is the whole answer to a request that could not be read.
func (c *retellingConn) refusal(status int, reason string) []byte {
	e := api.Errorf(api.CodeInvalid, "the request is not HTTP/1.1 as it should be: %s", reason)
	switch {
	case status == http.StatusRequestHeaderFieldsTooLarge: // as with a key that is only a little too long
		status = http.StatusRequestEntityTooLarge
		e = api.Errorf(api.CodeTooLarge, "the request's header, its path included, is over the limit of %d bytes; a key has at most %d bytes",
			c.maxHeader, api.MaxKeyBytes)
	case status == http.StatusNotImplemented:
		e.Hint = "the request's Transfer-Encoding is not known here; send chunked, or a Content-Length"
	case reason == "":
		e.Hint = "the request cannot be read: in a path, write a space and other such bytes as %20, and % itself as %25"
	}
	body, err := json.Marshal(&problem{
		Type: problemType + string(e.Code), Title: problemTitles[e.Code], Status: status, Detail: e.Hint, Code: e.Code, Applied: e.Code.Applied(),
	})
	if err != nil {
		panic(err) // a problem is text and numbers
	}
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: %d\r\n"+
		"Content-Type: application/problem+json\r\nX-Content-Type-Options: nosniff\r\n\r\n", status, http.StatusText(status), len(body)+1)
	return append(append([]byte(head), body...), '\n')
}
