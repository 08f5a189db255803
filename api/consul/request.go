package consul

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/front"
)

const (
	tokenHeader = "X-Consul-Token" //nolint:gosec // a name
	// defaultWait is how long a blocking query waits that does not say, and maxWait the most.
	defaultWait = 5 * time.Minute
	maxWait     = 10 * time.Minute
)

// handler answers the requests of one path and method.
type handler struct {
	route  string // in metrics
	writes bool
	serve  func(f *frontend, q *request) error
}

// path is one path of the API, or all that begin with it.
type path struct {
	text    string
	begins  bool
	missing string // what to say if nothing follows; "" if nothing may follow, or nothing need
	methods map[string]*handler
}

func get(route string, serve func(*frontend, *request) error) map[string]*handler {
	return map[string]*handler{http.MethodGet: {route, false, serve}}
}

func put(route string, serve func(*frontend, *request) error) map[string]*handler {
	return map[string]*handler{http.MethodPut: {route, true, serve}}
}

// paths are those that are served.
var paths []path

func init() { // the handlers lead back to the table
	paths = []path{
		{"/v1/kv/", true, "", map[string]*handler{
			http.MethodGet: {"kv get", false, (*frontend).getKV}, http.MethodPut: {"kv put", true, (*frontend).putKV}, http.MethodDelete: {"kv delete", true, (*frontend).deleteKV},
		}},
		{"/v1/txn", false, "", put("txn", (*frontend).txn)},
		{"/v1/session/create", false, "", put("session create", (*frontend).createSession)},
		{"/v1/session/destroy/", true, "Missing session", put("session destroy", (*frontend).destroySession)},
		{"/v1/session/renew/", true, "Missing session", put("session renew", (*frontend).renewSession)},
		{"/v1/session/info/", true, "Missing session", get("session info", (*frontend).sessionInfo)},
		{"/v1/session/node/", true, "Missing node name", get("session list", (*frontend).listSessions)},
		{"/v1/session/list", false, "", get("session list", (*frontend).listSessions)},
		{"/v1/status/leader", false, "", get("status", (*frontend).leader)},
		{"/v1/status/peers", false, "", get("status", (*frontend).peers)},
		{"/v1/agent/self", false, "", get("agent self", (*frontend).self)},
	}
}

// request is what the head of a request asks for.
type request struct {
	handler     *handler
	name        string // what follows the path: a key, the id of a session, a node
	query       url.Values
	consistency api.Consistency
	// index is that of a blocking query, which waits until its answer has a higher one; 0 does not wait.
	index uint64
	wait  time.Duration

	exchange *door.Exchange
	store    front.Caller
}

// has reports whether the query has the parameter, with whatever value.
func (q *request) has(name string) bool { return q.query.Has(name) }

// about is the key that the request is admitted for.
func (q *request) about() api.Key {
	switch {
	case !strings.HasPrefix(q.handler.route, "kv"):
		return deletedKey // it has the same owner
	case q.name == "":
		return Prefix
	}
	return dataKey(q.name)
}

// ask is what the request is admitted as.
func (q *request) ask() front.Ask {
	return front.Ask{Key: q.about(), Writes: q.handler.writes, Consistency: q.consistency}
}

// parse reads the head of a request. An error is a *refusal.
func (f *frontend) parse(r *http.Request) (*request, error) {
	q := &request{}
	p, name, err := find(r.URL.Path)
	if err != nil {
		return q, err
	}
	if q.name, q.handler = name, p.methods[r.Method]; q.handler == nil {
		return q, refuse(http.StatusMethodNotAllowed, "method %s not allowed", r.Method)
	}
	if q.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return q, refuse(http.StatusBadRequest, "The query of the URL is malformed")
	}
	if strings.ContainsRune(q.name, 0) {
		return q, refuse(http.StatusBadRequest, "A key has no zero byte here")
	}
	if name == "" && p.missing != "" {
		return q, refuse(http.StatusBadRequest, "%s", p.missing)
	}
	if n := len(dataKey(q.name)) + len(created); strings.HasPrefix(q.handler.route, "kv") && n > api.MaxKeyBytes {
		return q, refuse(http.StatusRequestURITooLong, "Key of %d bytes too large, max size: %d bytes", len(q.name), len(q.name)+api.MaxKeyBytes-n)
	}
	return q, f.parseOptions(q)
}

// find returns the path that is served and what follows it.
func find(text string) (*path, string, error) {
	for i := range paths {
		p := &paths[i]
		if rest, ok := strings.CutPrefix(text, p.text); ok && (p.begins || rest == "") {
			return p, rest, nil
		}
	}
	return nil, "", refuse(http.StatusNotFound, "Invalid URL path: not a recognized HTTP API endpoint")
}

// parseOptions reads what any request may say.
func (f *frontend) parseOptions(q *request) (err error) {
	for _, name := range [3]string{"ns", "partition", "peer"} {
		if v := q.query.Get(name); v != "" && v != "default" {
			return refuse(http.StatusBadRequest, "Invalid query parameter: %q - namespaces, partitions and peers are not served", name)
		}
	}
	if dc := q.query.Get("dc"); dc != "" && dc != string(f.cfg.Region) && !slices.Contains(f.cfg.Regions(), api.RegionID(dc)) {
		return refuse(http.StatusInternalServerError, "No path to datacenter")
	}
	switch stale, consistent := q.has("stale"), q.has("consistent"); {
	case stale && consistent:
		return refuse(http.StatusBadRequest, "Cannot specify ?stale with ?consistent, conflicting semantics.")
	case stale:
		q.consistency = api.Stale
	case consistent:
		q.consistency = api.Quorum
	}
	if text := q.query.Get("index"); text != "" {
		if q.index, err = strconv.ParseUint(text, 10, 64); err != nil {
			return refuse(http.StatusBadRequest, "Invalid index")
		}
	}
	if text := q.query.Get("wait"); text != "" {
		if q.wait, err = time.ParseDuration(text); err != nil {
			return refuse(http.StatusBadRequest, "Invalid wait time")
		}
	}
	if q.wait <= 0 {
		q.wait = defaultWait
	}
	q.wait = min(q.wait, maxWait)
	return nil
}

// credential returns the request with the token of the client where the door looks for it, and nowhere else: Consul takes it from the
// query too, or from a header of its own.
func credential(r *http.Request) *http.Request {
	query := r.URL.Query()
	token := query.Get("token")
	if token == "" {
		token = r.Header.Get(tokenHeader)
	}
	if token == "" && !query.Has("token") {
		return r
	}
	own := r.WithContext(r.Context()) // a copy, whose URL and headers are still those of r
	u := *r.URL
	own.URL, own.Header = &u, r.Header.Clone()
	if query.Has("token") {
		query.Del("token")
		u.RawQuery = query.Encode()
	}
	own.Header.Del(tokenHeader)
	if token != "" {
		own.Header.Set("Authorization", "Bearer "+token)
	}
	return own
}
