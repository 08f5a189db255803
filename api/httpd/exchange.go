package httpd

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
)

// exchange is one request and its answer. It belongs to one goroutine.
type exchange struct {
	*handler
	door.Exchange
	args   map[string]string // what stands in the path for the names in braces
	query  url.Values
	key    api.Key
	writes bool // the request may change something: an unexplained error leaves its outcome unknown
	// held are the header values that share one allocation.
	held []string
	// read is the question of a GET, and keys its key; result is the answer, and entries its entry.
	read    api.ReadRequest
	keys    [1]api.Key
	result  api.ReadResult
	entries [1]api.Entry
	route   *route
	page    bool // it comes from a page of an origin that may use this route
}

var (
	octetStream = []string{"application/octet-stream"}
	problemJSON = []string{"application/problem+json"}
	plainText   = []string{"text/plain; charset=utf-8"}
	jsonType    = []string{"application/json"}
)

// set sets a header whose name is given as it is to be written.
func (x *exchange) set(name, value string) {
	if len(x.held) == cap(x.held) {
		x.held = make([]string, 0, 8) // what was held stays with the header
	}
	i := len(x.held)
	x.held = append(x.held, value)
	x.W.Header()[name] = x.held[i : i+1 : i+1]
}

// replyBody answers with a whole body, which HEAD does not send.
func (x *exchange) replyBody(status int, contentType []string, body []byte) {
	x.set("Content-Length", strconv.Itoa(len(body)))
	x.replyCounted(status, contentType, body)
}

// replyValue answers 200 with a value. net/http adds the Content-Length of a small body itself: a map of headers that has room
// for eight is half as fast with nine.
func (x *exchange) replyValue(v []byte) {
	if len(v) == 0 || len(v) > smallBody || x.R.Method == http.MethodHead {
		x.set("Content-Length", strconv.Itoa(len(v)))
	}
	x.replyCounted(http.StatusOK, octetStream, v)
}

// smallBody is the size of bodies whose length net/http counts, which it does for a few KB.
const smallBody = 2 << 10

func (x *exchange) replyCounted(status int, contentType []string, body []byte) {
	x.W.Header()["Content-Type"] = contentType
	x.Reply(status, len(body))
	if x.R.Method != http.MethodHead {
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
func (x *exchange) send(b []byte) { _, _ = x.W.Write(b) }

// readBody reads the request's body, within the limit of its route.
func (x *exchange) readBody() ([]byte, error) { return x.Body(x.route.body.limit, x.route.body.what) }
