package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/deadline"
)

// exchange is one request and its answer. It belongs to one goroutine.
type exchange struct {
	*handler
	w      http.ResponseWriter
	r      *http.Request
	start  time.Time
	ctx    *deadline.Context // ends with the request's timeout
	query  url.Values
	key    api.Key
	writes bool // the request may change something: an unexplained error leaves its outcome unknown
	status int  // of the answer
	// held are the header values that share one allocation.
	held []string
	// read is the question of a GET, and keys its key; result is the answer, and entries its entry.
	read    api.ReadRequest
	keys    [1]api.Key
	result  api.ReadResult
	entries [1]api.Entry
	// reserved are the bytes of Config.MaxBodyBytes that the request holds.
	reserved int64
	labels   [2]string // of what is measured
	// taken: the whole body has been read.
	taken bool
	// atHand: the answer was, and nobody has kept anything of the exchange.
	atHand bool
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// reuse gives the exchange to another request. Nothing but its own goroutine may know it any more.
func (x *exchange) reuse() {
	*x = exchange{}
	exchanges.Put(x)
}

var (
	noStore     = []string{"no-store"}
	noSniff     = []string{"nosniff"}
	octetStream = []string{"application/octet-stream"}
	jsonType    = []string{"application/json"}
)

// commonHeaders sets the headers that every answer has.
func (x *exchange) commonHeaders() {
	h := x.w.Header()
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	if x.node != nil {
		h["Edgehold-Node"] = x.node
	}
}

// set sets a header whose name is given as it is to be written.
func (x *exchange) set(name, value string) {
	if len(x.held) == cap(x.held) {
		x.held = make([]string, 0, 8) // what was held stays with the header
	}
	i := len(x.held)
	x.held = append(x.held, value)
	x.w.Header()[name] = x.held[i : i+1 : i+1]
}

// readBy bounds the reading of the body. Where the connection knows no deadlines there is none to bound.
func (x *exchange) readBy(t time.Time) { _ = http.NewResponseController(x.w).SetReadDeadline(t) }

// reply begins the answer: status and headers, and from here on a bounded time for the client to take it.
func (x *exchange) reply(status int) {
	x.status = status
	x.commonHeaders()
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(writeTimeout))
	x.w.WriteHeader(status)
}

// replyValue answers 200 with a value, which HEAD does not send. A small value is left to net/http altogether: it sends it in
// one piece with the headers when the handler has returned, counts its length itself, and until then nobody is kept
// waiting but the connection, for which the server's WriteTimeout stands.
func (x *exchange) replyValue(v []byte) {
	x.w.Header()["Content-Type"] = octetStream
	head := x.r.Method == http.MethodHead
	if head || !x.small(v) {
		x.set("Content-Length", strconv.Itoa(len(v)))
		x.reply(http.StatusOK)
	} else {
		x.commonHeaders()
	}
	if !head {
		x.send(v)
	}
}

// small tells whether net/http sends a body in one piece with the headers.
func (x *exchange) small(v []byte) bool {
	return x.r.ProtoMajor == 1 && len(v) > 0 && len(v) <= smallBody
}

// smallBody is what net/http holds back of an answer of HTTP/1.1 until the handler has returned.
const smallBody = 2048

// replyJSON answers 200 with v.
func (x *exchange) replyJSON(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return &api.Error{Code: api.CodeInternal, Err: err}
	}
	body = append(body, '\n')
	h := x.w.Header()
	h["Content-Type"] = jsonType
	x.set("Content-Length", strconv.Itoa(len(body)))
	x.reply(http.StatusOK)
	x.send(body)
	return nil
}

// send sends a part of the body. An error means that the client has gone, or takes too long: there is nobody to tell.
func (x *exchange) send(b []byte) { _, _ = x.w.Write(b) }

// body reads the request's body of at most limit bytes, within the request's time. The bytes are the caller's.
func (x *exchange) body(limit int64, what string) ([]byte, error) {
	if err := x.plainBody(); err != nil {
		return nil, err
	}
	size := x.r.ContentLength
	if size > limit {
		return nil, api.Errorf(api.CodeTooLarge, "%s of %d bytes is over the limit of %d bytes", what, size, limit)
	}
	if size == 0 {
		return []byte{}, nil
	}
	if err := x.reserve(size, limit); err != nil {
		return nil, err
	}
	if until, ok := x.ctx.Deadline(); ok {
		x.readBy(until)
	}
	b, err := readBody(x.r.Body, size, limit)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) || err != nil && errors.Is(x.ctx.Err(), context.DeadlineExceeded):
		return nil, api.Errorf(api.CodeUnavailable, "the body did not arrive in time: %d bytes did", len(b))
	case err != nil: // also if the client is gone, which ends the request's context
		return nil, api.Errorf(api.CodeInvalid, "the body ended early or is malformed: %d bytes arrived", len(b))
	case int64(len(b)) > limit:
		return nil, api.Errorf(api.CodeTooLarge, "%s of at least %d bytes is over the limit of %d bytes", what, len(b), limit)
	}
	x.taken = true
	x.readBy(time.Time{}) // else the deadline would end the request's context
	return b, nil
}

// plainBody refuses a body that its header says is not to be taken as it stands: its meaning would be lost.
func (x *exchange) plainBody() error {
	for _, line := range x.r.Header["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			if coding = strings.Trim(coding, " \t"); coding != "" && !strings.EqualFold(coding, "identity") {
				x.w.Header()["Accept-Encoding"] = []string{"identity"}
				return &statusError{http.StatusUnsupportedMediaType, api.Errorf(api.CodeInvalid,
					"a Content-Encoding (%.40q) is not kept with the value: send the body without it, or leave the header out to store the bytes as they are",
					coding)}
			}
		}
	}
	if len(x.r.Header["Content-Range"]) > 0 {
		return api.Errorf(api.CodeInvalid, "a part of a body cannot be written: send it whole, without Content-Range")
	}
	return nil
}

// drain takes what is left of an HTTP/2 body that nobody wanted, up to a bound: the answer goes out when it has. Else the
// stream is reset while the client still sends, and some clients then lose the answer. HTTP/1.1 has its own way.
func (x *exchange) drain() {
	if x.r.ProtoMajor < 2 || x.r.ContentLength == 0 || x.taken || x.r.Header.Get("Expect") != "" {
		return
	}
	x.readBy(time.Now().Add(drainTimeout))
	_, _ = io.CopyN(io.Discard, x.r.Body, drainBytes) // the answer is the same, whatever became of the body
}

// reserve takes the memory that a body of the size (-1: unknown) needs.
func (x *exchange) reserve(size, limit int64) error {
	if size < 0 {
		size = limit
	}
	x.reserved = size
	if x.bodyBytes.Add(size) > x.MaxBodyBytes {
		x.measures.rejected(1)
		return x.door.bodies
	}
	return nil
}

func (x *exchange) unreserve() {
	if x.reserved != 0 {
		x.bodyBytes.Add(-x.reserved)
	}
}

// readBody reads size bytes, or where that is unknown up to one over the limit.
func readBody(r io.Reader, size, limit int64) ([]byte, error) {
	if size < 0 {
		return io.ReadAll(io.LimitReader(r, limit+1))
	}
	b := make([]byte, size)
	n, err := io.ReadFull(r, b)
	return b[:n], err
}
