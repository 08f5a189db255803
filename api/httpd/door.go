package httpd

import (
	"net/http"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/wire"
)

// What is refused for load is refused before a call of a stream is decoded, and before a request's body is read. Under overload
// there are many refusals for each request that is served: their errors are made once.

// door holds the refusals that are used again and again.
type door struct {
	inFlight, busy, bodies *api.Error
}

func (d *door) init(c *Config) {
	d.inFlight = overloaded("%d requests are in flight, the limit", c.MaxInFlight)
	d.busy = overloaded("this node has more to do than it can")
	d.bodies = overloaded("request bodies fill the %d bytes of memory for them", c.MaxBodyBytes)
}

// room refuses the n-th request in flight if that is too many.
func (h *handler) room(n int64) *api.Error {
	switch {
	case n > int64(h.MaxInFlight):
		h.measures.rejected(1)
		return h.door.inFlight
	case n > int64(h.CalmInFlight) && h.Busy():
		h.measures.rejected(1)
		return h.door.busy
	}
	return nil
}

// atOwner refuses the n-th request in flight if the owner of its key has too many.
func (h *handler) atOwner(k api.Key, writes bool, c api.Consistency, n int64) *api.Error {
	e := h.Full(k, writes, c, n-1)
	if e != nil {
		h.measures.rejected(1)
	}
	return e
}

// enterCall and leaveCall count a call of a stream as they do a request.
func (h *handler) enterCall(a wire.Asked) *api.Error {
	n := h.inFlight.Add(1)
	var e *api.Error
	if a.Key != "" { // first: under overload it refuses most, and asks no clock
		e = h.atOwner(a.Key, a.Writes, a.Consistency, n)
	}
	if e == nil {
		e = h.room(n)
	}
	if e != nil {
		h.inFlight.Add(-1)
		return e
	}
	if h.bodyBytes.Add(a.Bytes) > h.MaxBodyBytes {
		h.bodyBytes.Add(-a.Bytes)
		h.inFlight.Add(-1)
		h.measures.rejected(1)
		return h.door.bodies
	}
	return nil
}

func (h *handler) leaveCall(bytes int64) {
	h.bodyBytes.Add(-bytes)
	h.inFlight.Add(-1)
}

// asksOwner is Quorum if the request says that only the owner may answer it.
func (x *exchange) asksOwner() api.Consistency {
	if x.query != nil && x.query.Get("consistency") == api.Quorum.String() {
		return api.Quorum
	}
	return api.Linearizable
}

// stayAway is the least that a client is asked to wait: the header has whole seconds.
const stayAway = time.Second

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
