// Package httpd is Edgehold's HTTP API, a front over a [front.Backend]: values under /v1/kv, transactions at /v1/txn, the
// cluster under /v1/cluster, and the probes; routes.go lists them. It routes by the path exactly as it was sent, so that every
// key of any bytes has a path; nothing is cleaned or redirected. Errors are problem+json (RFC 9457) that say whether the request
// was applied.
package httpd

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/wire"
)

// DefaultMaxStreamCalls is the default of [Config].MaxStreamCalls.
const DefaultMaxStreamCalls = 2048

// Config is what HTTP needs beside the Backend. The zero value works.
type Config struct {
	// Metrics answers GET /metrics; nil: 404.
	Metrics http.Handler
	// Workers carry out the calls of streams; nil: each gets a goroutine of its own.
	Workers *wire.Workers
	// MaxStreamCalls bounds the calls of one stream that are answered at once; one more is refused at once. 0 is
	// [DefaultMaxStreamCalls].
	MaxStreamCalls int
	// CORSOrigins are the web origins, such as https://app.example, whose pages may use the routes on keys; "*" is every origin. A
	// page gets the rights of the token that it sends, or the anonymous ones. None of them may send cookies or other credentials of
	// the browser.
	CORSOrigins []string
}

const (
	// drainTimeout bounds the wait for the rest of a body that is not used, and drainBytes what is taken of it.
	drainTimeout = 5 * time.Second
	drainBytes   = 4 * api.MaxValueBytes
	// writeTimeout bounds how long a client may take to accept an answer.
	writeTimeout = time.Minute
	// stayAway is the least that a client refused for load is asked to wait: the header has whole seconds.
	stayAway = time.Second
)

// The names of the fronts in metrics.
const (
	httpFront  = "http"
	callsFront = "calls"
)

// handler is the API.
type handler struct {
	*front.Backend
	Config
	table  table
	origin http.CrossOriginProtection
	node   []string        // the node's name as a header's value; nil if there is none
	pages  map[string]bool // Config.CORSOrigins
	frames frames
}

// New returns the API's handler. It is safe for concurrent use, and may stand behind any other handler. It dispatches by the
// raw path: wrap it in no [http.ServeMux], which would clean paths.
func New(b *front.Backend, c Config) http.Handler {
	if c.MaxStreamCalls <= 0 {
		c.MaxStreamCalls = DefaultMaxStreamCalls
	}
	h := &handler{Backend: b, Config: c, pages: map[string]bool{}}
	for _, origin := range c.CORSOrigins {
		h.pages[origin] = true
	}
	if b.Node != "" {
		h.node = []string{string(b.Node)}
	}
	h.table = newTable(h)
	return h
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{handler: h, w: w, r: r, status: http.StatusOK, start: time.Now()}
	route, err := h.answer(x)
	if err != nil {
		x.fail(err)
	}
	x.settle()
	x.drain()
	if x.opened.IsZero() {
		x.opened = time.Now()
	}
	h.Observe(front.Labels{Front: httpFront, Route: route, Status: statusText(x.status)}, x.opened.Sub(x.start).Seconds())
}

// answer finds the route and lets it answer; an error is still to be answered.
func (h *handler) answer(x *exchange) (name string, err error) {
	if x.r.ContentLength != 0 {
		x.readBy(x.start.Add(drainTimeout))
	}
	at, key, args := h.table.find(x.r.URL)
	if at == nil {
		return "none", &statusError{http.StatusNotFound, api.Errorf(api.CodeNotFound, "there is nothing at this path")}
	}
	if x.fromPage(at) && x.preflight(at) {
		return at.name, nil
	}
	if x.route = at.routes[x.r.Method]; x.route == nil {
		x.w.Header().Set("Allow", at.allow)
		return at.name, &statusError{http.StatusMethodNotAllowed, api.Errorf(api.CodeInvalid, "%s", at.noMethod(x.r.Method))}
	}
	x.args = args
	if err := x.identify(); err != nil {
		x.key = key
		return at.name, err
	}
	if x.route.kind != request {
		return at.name, x.route.serve(x)
	}
	if err := h.origin.Check(x.r); err != nil && !x.page {
		return at.name, api.Errorf(api.CodeDenied, "a page of another origin may not write here")
	}
	if err := x.readQuery(x.route.params); err != nil {
		x.key = key
		return at.name, err
	}
	defer x.ctx.end()
	x.key = key
	if err := x.allowed(); err != nil {
		return at.name, err
	}
	place, refusal := h.AdmitLate(x.ctx, front.Ask{Key: key, Writes: x.route.right == front.Write, Consistency: x.level()}, x.draining())
	if refusal != nil {
		return at.name, x.turnAway(refusal)
	}
	x.place = place
	defer x.leave()
	return at.name, x.carryOut()
}

// leave gives the place of the request back, if it still has one.
func (x *exchange) leave() {
	x.place.Leave()
	x.place = nil
}

// carryOut serves the request. A panic is the failure of the request alone.
func (x *exchange) carryOut() (err error) {
	defer x.Faults.Catch(x.route.name, &err)
	return x.route.serve(x)
}

// level is the consistency that the request names, Linearizable if it names none that there is.
func (x *exchange) level() api.Consistency {
	if x.query != nil {
		for c := api.Quorum; c <= api.Stale; c++ {
			if x.query.Get("consistency") == c.String() {
				return c
			}
		}
	}
	return api.Linearizable
}

// turnAway is the refusal e for load as this request's error. It ends the connection, so that a client that does not wait as
// asked at least has to connect again.
func (x *exchange) turnAway(e *api.Error) error {
	if x.r.ProtoMajor == 1 {
		x.set("Connection", "close")
	}
	longer := *e
	longer.RetryAfter = max(longer.RetryAfter, stayAway)
	return &statusError{http.StatusServiceUnavailable, &longer}
}

// statusText returns the status as a label.
func statusText(status int) string {
	if status == http.StatusOK {
		return "200"
	}
	return strconv.Itoa(status)
}

// statusError is an error whose status is not that of its code.
type statusError struct {
	status int
	err    *api.Error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// asStatus is the status that err is answered with: that of its code, if it does not say another.
func asStatus(err error, e *api.Error) int {
	if s, ok := errors.AsType[*statusError](err); ok {
		return s.status
	}
	return e.Code.HTTPStatus()
}
