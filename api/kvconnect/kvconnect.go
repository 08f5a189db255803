// Package kvconnect is the KV Connect protocol of Deno, a front over HTTP: Deno.openKv("http://NODE/kvconnect/DATABASE") and the
// package @deno/kv read, write and watch a database here, unchanged.
//
// A database is the keys "deno/DATABASE/" and what the client makes of a key's parts, byte by byte. Values are stored as they come.
// A value that is not encoded by V8 has a sibling key "deno/DATABASE/.meta/KEY", which says how it is encoded and is written in the
// same transaction. All keys of a database must be of one shard of a range of the placement map, so that versions order all its writes:
// a database that is not is refused.
//
// A read is one snapshot, and linearizable. A write is one transaction, under an id of its own, so that nodes may repeat it; an answer
// lets a client repeat a write only if it certainly had no effect.
package kvconnect

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/front"
)

// Name is the front's name, in --front and in metrics.
const Name = "kvconnect"

// pathPrefix begins the paths of the front.
const pathPrefix = "/kvconnect/"

// Anonymous is the token of a client without one: the clients of Deno cannot do without.
const Anonymous = "anonymous"

// Match reports whether a request is one of the front's.
func Match(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, pathPrefix) }

// New returns the handler of the front's requests. It is safe for concurrent use.
func New(b *front.Backend) http.Handler {
	s := &server{backend: b}
	h := door.Handler(b, door.Front{Name: Name, Look: look, Serve: s.serve, Fail: fail})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+Anonymous {
			r.Header.Del("Authorization")
		}
		h.ServeHTTP(w, r)
	})
}

// server answers requests. It is safe for concurrent use.
type server struct{ backend *front.Backend }

// The routes, as metrics name them. All but the first are the last segment of their path.
const (
	routeMetadata = "metadata"
	routeRead     = "snapshot_read"
	routeWrite    = "atomic_write"
	routeWatch    = "watch"
)

// The last segment but one of the paths of the data path. Reads of the second may be stale to the protocol, and are not here.
const (
	strong   = "strong"
	eventual = "eventual"
)

// target is what a path names.
type target struct {
	database
	route string
}

// targetOf returns what a path names: /kvconnect/DATABASE for the metadata exchange, or /kvconnect/DATABASE/ENDPOINT/ROUTE.
func targetOf(path string) (target, error) {
	name, rest, nested := strings.Cut(strings.TrimPrefix(path, pathPrefix), "/")
	t := target{route: routeMetadata}
	if nested {
		endpoint, route, _ := strings.Cut(rest, "/")
		if endpoint != strong && endpoint != eventual || route != routeRead && route != routeWrite && route != routeWatch {
			return t, door.WithStatus(http.StatusNotFound, api.Errorf(api.CodeNotFound,
				"there is nothing at this path; the URL of a database is .../kvconnect/DATABASE, without a slash at its end"))
		}
		t.route = route
	}
	var err error
	t.database, err = newDatabase(name)
	return t, err
}

func look(r *http.Request) (door.Request, error) {
	t, err := targetOf(r.URL.Path)
	q := door.Request{Route: t.route, Ask: front.Ask{Writes: t.route == routeWrite}}
	if err != nil {
		return q, err
	}
	if r.Method != http.MethodPost {
		return q, door.WithStatus(http.StatusMethodNotAllowed, api.Errorf(api.CodeInvalid, "requests of KV Connect are POSTs"))
	}
	if t.route != routeMetadata {
		err = checkHeaders(r.Header, t.id())
	}
	return q, err
}

// checkHeaders checks the version and the database's id of a request of the data path.
func checkHeaders(h http.Header, id string) error {
	name := "X-Denokv-Database-Id"
	switch v := h.Get("X-Denokv-Version"); v {
	case "2", "3":
	case "": // version 1 has no header for itself
		name = "X-Transaction-Domain-Id"
	default:
		return api.Errorf(api.CodeInvalid, "X-Denokv-Version %.20q is none of the versions 2 and 3", v)
	}
	if got := h.Get(name); !strings.EqualFold(got, id) {
		return api.Errorf(api.CodeInvalid, "%s is %.60q, and the id of the database is %s: exchange the metadata again", name, got, id)
	}
	return nil
}

func (s *server) serve(x *door.Exchange) error {
	t, err := targetOf(x.R.URL.Path)
	if err != nil {
		return err
	}
	if t.route == routeMetadata {
		return s.exchange(x, t.database)
	}
	if t.route == routeWatch && !s.backend.Watches() {
		return door.WithStatus(http.StatusNotFound, api.Errorf(api.CodeNotFound, "this node has no watches"))
	}
	body, err := x.Body(maxBodyBytes, "body")
	if err != nil {
		return err
	}
	switch t.route {
	case routeRead:
		return serveRead(x, t.database, body)
	case routeWrite:
		return s.serveWrite(x, t.database, body)
	}
	return s.serveWatch(x, t.database, body)
}

// fail answers with an error. Clients repeat a request that is answered 5xx for ever, and give up after any other status. So 5xx is what
// may pass by itself and certainly had no effect; a write of unknown outcome is no such thing, nor is one that waits for an upgrade of the
// cluster.
func fail(x *door.Exchange, status int, e *api.Error) {
	text := e.Hint
	if text == "" {
		text = string(e.Code)
	}
	status = statusFor(status, e, strings.HasSuffix(x.R.URL.Path, "/"+routeWrite))
	if status == http.StatusConflict {
		text = "whether the write was applied is unknown: read before you repeat it (" + text + ")"
	}
	x.W.Header()["Content-Type"] = plainText
	x.Reply(status, len(text))
	_, _ = io.WriteString(x.W, text)
}

// statusFor returns the status of an error, of which status is the HTTP API's.
func statusFor(status int, e *api.Error, writes bool) int {
	switch e.Code {
	case api.CodeInvalid, api.CodeTooLarge, api.CodePreconditionFailed, api.CodeConflict:
		if status == http.StatusMethodNotAllowed || status == http.StatusNotFound {
			return status
		}
		return http.StatusBadRequest
	case api.CodeLimited, api.CodeUnavailable:
		if errors.Is(e, api.ErrLevel) {
			return http.StatusBadRequest
		}
		if !writes || e.Applied() == "no" {
			return http.StatusServiceUnavailable
		}
		return http.StatusConflict
	case api.CodeAmbiguous, api.CodeInternal:
		if writes {
			return http.StatusConflict
		}
		return http.StatusInternalServerError
	}
	return status
}

var (
	plainText   = []string{"text/plain; charset=utf-8"}
	jsonType    = []string{"application/json"}
	protobuf    = []string{"application/x-protobuf"}
	octetStream = []string{"application/octet-stream"}
)

// reply answers 200 with a whole body.
func reply(x *door.Exchange, contentType []string, body []byte) error {
	x.W.Header()["Content-Type"] = contentType
	x.Reply(http.StatusOK, len(body))
	_, _ = x.W.Write(body) // an error means that the client has gone
	return nil
}
