// Package httpd is Edgehold's HTTP API, a front over a [front.Backend]: values under /v1/kv, transactions at /v1/txn, the
// cluster under /v1/cluster, and the probes; routes.go lists them. It routes by the path exactly as it was sent, so that every
// key of any bytes has a path; nothing is cleaned or redirected, except for /ui, which leads to the page at /ui/. Errors are
// problem+json (RFC 9457) that say whether the request was applied.
package httpd

import (
	"net/http"
	"strings"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
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

// The names of the fronts in metrics.
const (
	httpFront  = "http"
	callsFront = "calls"
)

// handler is the API.
type handler struct {
	*front.Backend
	Config
	door   *door.Door
	table  table
	pages  map[string]bool // Config.CORSOrigins
	frames frames
	// liveText is the newest event of the live stream.
	liveText liveTexts
	// document returns the document of OpenAPI, which is made when it is first asked for.
	document func() []byte
}

// New returns the API's handler. It is safe for concurrent use, and may stand behind any other handler. It dispatches by the
// raw path: wrap it in no [http.ServeMux], which would clean paths.
func New(b *front.Backend, c Config) http.Handler {
	if c.MaxStreamCalls <= 0 {
		c.MaxStreamCalls = DefaultMaxStreamCalls
	}
	h := &handler{Backend: b, Config: c, door: door.New(b, httpFront), pages: map[string]bool{}}
	for _, origin := range c.CORSOrigins {
		h.pages[origin] = true
	}
	h.table = newTable(h)
	h.document = sync.OnceValue(h.makeDocument)
	return h
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{handler: h}
	defer x.Abandon()
	x.Begin(h.door, w, r)
	route, err := h.answer(x)
	if err != nil {
		x.fail(err)
	}
	x.End(route)
}

// answer finds the route and lets it answer; an error is still to be answered.
func (h *handler) answer(x *exchange) (name string, err error) {
	if file, ok := strings.CutPrefix(x.R.URL.Path, pagePrefix); ok {
		return "ui", x.getPage(file)
	}
	if x.R.URL.Path+"/" == pagePrefix {
		return "ui", x.leadToPage()
	}
	at, key, args := h.table.find(x.R.URL)
	if at == nil {
		return "none", door.WithStatus(http.StatusNotFound, api.Errorf(api.CodeNotFound, "there is nothing at this path"))
	}
	if x.fromPage(at) && x.preflight(at) {
		return at.name, nil
	}
	if x.route = at.routes[x.R.Method]; x.route == nil {
		x.W.Header().Set("Allow", at.allow)
		return at.name, door.WithStatus(http.StatusMethodNotAllowed, api.Errorf(api.CodeInvalid, "%s", at.noMethod(x.R.Method)))
	}
	x.args = args
	if err := x.identify(); err != nil {
		x.key = key
		return at.name, err
	}
	if x.route.kind != request {
		return at.name, x.route.serve(x)
	}
	if !x.page {
		if err := x.SameOrigin(); err != nil {
			return at.name, err
		}
	}
	if err := x.readQuery(x.route.params); err != nil {
		x.key = key
		return at.name, err
	}
	defer x.Ctx.End()
	x.key = key
	if err := x.allowed(); err != nil {
		return at.name, err
	}
	if err := x.noConditions(); err != nil {
		return at.name, err
	}
	if err := x.LetIn(front.Ask{Key: key, Writes: x.route.right == front.Write, Consistency: x.level()}); err != nil {
		return at.name, err
	}
	defer x.Leave()
	return at.name, x.carryOut()
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
