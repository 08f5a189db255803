// Package httpd is Edgehold's HTTP API over any [api.Store]: values under /v1/kv, transactions at /v1/txn, the cluster under
// /v1/cluster, and the probes. It routes by the path exactly as it was sent, so that every key of any bytes has a path; nothing is cleaned or
// redirected. Errors are problem+json (RFC 9457) that say whether the request was applied.
package httpd

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/api/wire"
)

// Config is what the API serves and how much of it at once.
type Config struct {
	// Store answers reads and carries out writes. It is required.
	Store api.Store
	// Lister answers lists; nil: there are none (404).
	Lister api.Lister
	// Admin answers /v1/cluster and /readyz; nil: no /v1/cluster (404), and the node is always ready.
	Admin api.Admin
	// Node is this node's name, told with every answer.
	Node api.NodeID
	// Metrics answers GET /metrics; nil: 404.
	Metrics http.Handler
	// Registry is where this room registers what it measures; nil measures nothing.
	Registry observe.Metrics
	// Log takes a message and key-value pairs for what an operator must see; nil discards it.
	Log func(msg string, args ...any)
	// MaxInFlight bounds the requests being answered at once, probes aside; one more gets 503 at once. 0 is 2048.
	MaxInFlight int
	// Busy tells that the processors cannot keep up: then one more than CalmInFlight gets 503 at once. It is asked by each
	// request beyond so many, and must not block. nil: never.
	Busy func() bool
	// Full is the refusal of a call about the key where its owner has more to do than it can; nil where the call may be carried
	// out. begun are being answered here. The error may be shared. It is asked before anything is done for a call, and must
	// not block. nil: never.
	Full func(k api.Key, writes bool, c api.Consistency, begun int64) *api.Error
	// CalmInFlight is how many requests being answered at once are never too many; 0 is 256.
	CalmInFlight int
	// MaxBodyBytes bounds the memory for request bodies at once; one more gets 503 at once. 0 is 256 MiB.
	MaxBodyBytes int64
	// Faults catches the panics of requests; nil: they are not reported.
	Faults *fault.Catcher
	// Workers carry out the calls of streams; nil: each gets a goroutine of its own.
	Workers *wire.Workers
	// MaxStreams bounds the streams of calls that are open at once; one more gets 503 at once. 0 is 1024.
	MaxStreams int
}

const (
	defaultMaxInFlight  = 2048
	defaultCalm         = 256
	defaultMaxBodyBytes = 256 << 20
	defaultMaxStreams   = 1024
	// overloadRetryAfter is what a request refused for load is told to wait.
	overloadRetryAfter = time.Second
	// drainTimeout bounds the wait for the rest of a body that nobody wants, and drainBytes what is taken of it.
	drainTimeout = 5 * time.Second
	drainBytes   = 4 * api.MaxValueBytes
	// writeTimeout bounds how long a client may take to accept an answer.
	writeTimeout = time.Minute
)

type handler struct {
	Config
	inFlight  atomic.Int64
	bodyBytes atomic.Int64
	streams   atomic.Int64
	door      door
	measures  measures
	origin    http.CrossOriginProtection
	node      []string // Config.Node as a header's value; nil where there is none
}

// New returns the API's handler. It is safe for concurrent use. It dispatches by the raw path: wrap it in no
// [http.ServeMux], which would clean paths.
func New(c Config) http.Handler {
	if c.Registry == nil {
		c.Registry = observe.NoMetrics{}
	}
	if c.Log == nil {
		c.Log = func(string, ...any) {}
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = defaultMaxInFlight
	}
	if c.CalmInFlight <= 0 {
		c.CalmInFlight = defaultCalm
	}
	if c.Busy == nil {
		c.Busy = func() bool { return false }
	}
	if c.Full == nil {
		c.Full = func(api.Key, bool, api.Consistency, int64) *api.Error { return nil }
	}
	if c.MaxStreams <= 0 {
		c.MaxStreams = defaultMaxStreams
	}
	if c.MaxBodyBytes <= 0 {
		c.MaxBodyBytes = defaultMaxBodyBytes
	}
	h := &handler{Config: c}
	if c.Node != "" {
		h.node = []string{string(c.Node)}
	}
	h.door.init(&c)
	h.measures = newMeasures(c.Registry, &h.inFlight)
	return h
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{handler: h, w: w, r: r, status: http.StatusOK, start: time.Now()}
	route, err := h.answer(x)
	if err != nil {
		x.fail(err)
	}
	x.drain()
	h.measures.observe(&x.labels, route, x.status, time.Since(x.start))
}

// answer finds the resource and lets it answer; an error is still to be told.
func (h *handler) answer(x *exchange) (route string, err error) {
	if x.r.ContentLength != 0 {
		x.readBy(x.start.Add(drainTimeout))
	}
	res, key := h.resource(x.r.URL)
	if res == nil {
		return "none", &statusError{http.StatusNotFound, api.Errorf(api.CodeNotFound, "there is nothing at this path")}
	}
	serve := res.methods[x.r.Method]
	if serve == nil {
		x.w.Header().Set("Allow", res.allow)
		return res.name, &statusError{http.StatusMethodNotAllowed, api.Errorf(api.CodeInvalid, "%s", res.noMethod(x.r.Method))}
	}
	if res.probe {
		return res.name, serve(x)
	}
	if err := h.origin.Check(x.r); err != nil {
		return res.name, api.Errorf(api.CodeDenied, "a page of another origin may not write here")
	}
	n := h.inFlight.Add(1)
	defer h.inFlight.Add(-1)
	if e := h.room(n); e != nil {
		return res.name, x.turnAway(e)
	}
	defer x.unreserve()
	if err := x.readQuery(res.params); err != nil {
		x.key = key
		return res.name, err
	}
	defer x.ctx.end()
	if key != "" {
		if e := h.atOwner(key, x.r.Method != http.MethodGet && x.r.Method != http.MethodHead, x.asksOwner(), n); e != nil {
			return res.name, x.turnAway(e)
		}
	}
	x.key = key
	return res.name, x.carryOut(res.name, serve)
}

// carryOut is serve, whose panic is the failure of the request alone.
func (x *exchange) carryOut(route string, serve func(*exchange) error) (err error) {
	defer x.Faults.Catch(route, &err)
	return serve(x)
}

// statusError is an error whose status is not that of its code.
type statusError struct {
	status int
	err    *api.Error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// asStatus is the status that err is told with: that of its code, if it does not say another.
func asStatus(err error, e *api.Error) int {
	if s, ok := errors.AsType[*statusError](err); ok {
		return s.status
	}
	return e.Code.HTTPStatus()
}

// joinMethods renders an Allow header.
func joinMethods(m ...string) string { return strings.Join(m, ", ") }
