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
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
)

// exchange is one request and its answer. It belongs to one goroutine.
type exchange struct {
	*handler
	w      http.ResponseWriter
	r      *http.Request
	start  time.Time
	base   context.Context   // of the request, with its principal
	ctx    *requestContext   // ends with the request's timeout
	args   map[string]string // what stands in the path for the names in braces
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
	route   *route
	store   front.Caller
	conn    *connState        // of the request's connection; nil if nothing is remembered
	place   *admission.Ticket // of a request; nil for a probe
	// taken: the whole body has been read.
	taken  bool
	page   bool      // it comes from a page of an origin that may use this route
	opened time.Time // when the watch that is the answer began; zero if it is none
}

var (
	noStore     = []string{"no-store"}
	noSniff     = []string{"nosniff"}
	octetStream = []string{"application/octet-stream"}
	problemJSON = []string{"application/problem+json"}
	plainText   = []string{"text/plain; charset=utf-8"}
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

// readBy bounds the reading of the body. A connection without deadlines is not bounded.
func (x *exchange) readBy(t time.Time) { _ = http.NewResponseController(x.w).SetReadDeadline(t) }

// reply begins the answer of size bytes (-1: unknown): status and headers. From here on the client has a bounded time to take it;
// for a small answer that is the server's WriteTimeout, since it fits the connection's buffers.
func (x *exchange) reply(status, size int) {
	x.status = status
	x.commonHeaders()
	if size < 0 || size > smallAnswer {
		_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	x.w.WriteHeader(status)
}

// smallAnswer is the size of answers that need no deadline of their own.
const smallAnswer = 4 << 10

// replyBody answers with a whole body, which HEAD does not send.
func (x *exchange) replyBody(status int, contentType []string, body []byte) {
	x.set("Content-Length", strconv.Itoa(len(body)))
	x.replyCounted(status, contentType, body)
}

// replyValue answers 200 with a value. net/http adds the Content-Length of a small body itself: a map of headers that has room
// for eight is half as fast with nine.
func (x *exchange) replyValue(v []byte) {
	if len(v) == 0 || len(v) > smallBody || x.r.Method == http.MethodHead {
		x.set("Content-Length", strconv.Itoa(len(v)))
	}
	x.replyCounted(http.StatusOK, octetStream, v)
}

// smallBody is the size of bodies whose length net/http counts, which it does for a few KB.
const smallBody = 2 << 10

func (x *exchange) replyCounted(status int, contentType []string, body []byte) {
	x.w.Header()["Content-Type"] = contentType
	x.reply(status, len(body))
	if x.r.Method != http.MethodHead {
		x.send(body)
	}
}

// replyJSON answers 200 with v.
func (x *exchange) replyJSON(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return &api.Error{Code: api.CodeInternal, Err: err}
	}
	x.replyBody(http.StatusOK, jsonType, append(body, '\n'))
	return nil
}

// send sends a part of the body. An error means that the client has gone or takes too long.
func (x *exchange) send(b []byte) { _, _ = x.w.Write(b) }

// body reads the request's body, within the limit of its route and the request's time. The bytes are the caller's.
func (x *exchange) body() ([]byte, error) {
	limit, what := x.route.body.limit, x.route.body.what
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

// drain reads the rest of an HTTP/2 body that the handler did not read, up to a bound. The answer goes out after it. Else the
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
	if refusal := x.place.Take(size); refusal != nil {
		return x.turnAway(refusal)
	}
	return nil
}

// readBody reads size bytes, or up to one over the limit if the size is unknown.
func readBody(r io.Reader, size, limit int64) ([]byte, error) {
	if size < 0 {
		return io.ReadAll(io.LimitReader(r, limit+1))
	}
	b := make([]byte, size)
	n, err := io.ReadFull(r, b)
	return b[:n], err
}
