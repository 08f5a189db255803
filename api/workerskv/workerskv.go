// Package workerskv is a front that speaks the protocol of a KV binding of Cloudflare's open runtime, workerd: an unchanged Worker
// whose binding points at a node reads and writes Edgehold.
//
// A namespace NS keeps its keys below kv/NS/. A value is stored as it comes, at kv/NS/KEY. The metadata of a key, if it has any, is
// the JSON at kv/NS/.meta/KEY, written by the same transaction and with the same time to live. The stored name of a key that begins
// with .meta has a dot after that: .meta/x is stored as .meta./x. So every key of the protocol has a place.
//
// Reads and lists are linearizable. A read that names a cache_ttl accepts an answer of that age.
package workerskv

import (
	"net/http"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/front"
)

// Name is the name of the front, in settings and in metrics.
const Name = "workers-kv"

// frontend is the front.
type frontend struct{ *front.Backend }

// New returns the handler of the front's requests, those that [Match] reports. It is safe for concurrent use.
func New(b *front.Backend) http.Handler {
	f := &frontend{b}
	return door.Handler(b, door.Front{Name: Name, Look: look, Serve: f.serve, Fail: fail})
}

// look says what a request asks for, by its head.
func look(r *http.Request) (door.Request, error) {
	q, err := parse(r, time.Now())
	ask := door.Request{Route: string(q.verb)}
	if err != nil {
		return ask, err
	}
	switch q.verb {
	case get:
		ask.Key = q.namespace.value(q.name)
		if q.bounded {
			ask.Consistency = api.Bounded
		}
	case put, remove:
		ask.Key, ask.Writes = q.namespace.value(q.name), true
	}
	return ask, nil
}

func (f *frontend) serve(x *door.Exchange) error {
	q, err := parse(x.R, x.Start)
	if err != nil {
		return err
	}
	switch q.verb {
	case get:
		return q.get(x)
	case put:
		return f.put(x, &q)
	case remove:
		return f.remove(x, &q)
	case list:
		return q.list(x)
	}
	return q.bulk(x)
}
