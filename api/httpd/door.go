package httpd

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/wire"
)

// What is refused for load is refused at the door: before a call of a stream is taken apart or a worker woken for it, and
// before a request's body is read. Under overload there are many of these for each that is served, and what they cost is
// taken from those: the errors are made once, and so is how they are told.

// door holds the refusals that are told again and again.
type door struct {
	inFlight, busy, bodies *api.Error
	// told are the newest, by whether the request has an opaque Idempotency-Key and how long to stay away.
	told [2][len(restsOf) + 1]atomic.Pointer[turnedAway]
}

// turnedAway is a refusal as an answer of HTTP.
type turnedAway struct {
	err           *api.Error
	body          []byte
	length, after []string // header values
	whole         []byte   // with all but a Date, as it stands on the wire; nil where the node's name does not
}

func (d *door) init(c *Config) {
	d.inFlight = overloaded("%d requests are in flight, the limit", c.MaxInFlight)
	d.busy = overloaded("this node has more to do than it can")
	d.bodies = overloaded("request bodies fill the %d bytes of memory for them", c.MaxBodyBytes)
}

func overloaded(format string, args ...any) *api.Error {
	e := api.Errorf(api.CodeUnavailable, format, args...)
	e.RetryAfter = overloadRetryAfter
	return e
}

// room refuses the n-th request in flight where that is too many.
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

// atOwner refuses the n-th request in flight where the owner of its key has too many.
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
	if a.Key != "" { // first: under overload it says no to most, and asks no clock
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

// asksOwner is Quorum where the request says that only the owner may answer it.
func (x *exchange) asksOwner() api.Consistency {
	if x.query != nil && x.query.Get("consistency") == api.Quorum.String() {
		return api.Quorum
	}
	return api.Linearizable
}

// turnAway answers with a refusal for load.
func (x *exchange) turnAway(e *api.Error) {
	level := 0
	if c, ok := x.r.Context().Value(connKey{}).(*conn); ok && x.r.ProtoMajor == 1 {
		level = c.away.refused(x.start)
	}
	t := x.turnedAway(e, x.r, level)
	h := x.w.Header()
	h["Content-Type"] = problemContent
	h["Content-Length"] = t.length
	h["Retry-After"] = t.after
	x.commonHeaders()
	x.status = http.StatusServiceUnavailable
	x.w.WriteHeader(x.status) // it is short: nobody is kept waiting but the connection, as with a small value
	x.send(t.body)
}

// turnedAway is how e is told to r, at a level of rest.
func (h *handler) turnedAway(e *api.Error, r *http.Request, level int) *turnedAway {
	keyed, id := 0, writeID(r)
	if !id.IsZero() && id.Seq == 0 {
		keyed = 1
	}
	told := &h.door.told[keyed][level]
	t := told.Load()
	if t == nil || t.err != e {
		t = h.newTurnedAway(e, id, level)
		told.Store(t)
	}
	return t
}

var problemContent = []string{"application/problem+json"}

// newTurnedAway tells to stay away for as long as e says, at least stayAway, after the rest of the level.
func (h *handler) newTurnedAway(e *api.Error, id api.RequestID, level int) *turnedAway {
	longer := *api.AsError(id.Outcome(e))
	longer.RetryAfter = max(longer.RetryAfter, stayAway)
	if level > 0 {
		longer.RetryAfter += restsOf[level-1]
	}
	body, err := json.Marshal(problemOf(&longer, http.StatusServiceUnavailable))
	if err != nil {
		panic(err) // a problem without a key is text and numbers
	}
	body = append(body, '\n')
	t := &turnedAway{err: e, body: body, length: []string{strconv.Itoa(len(body))}, after: []string{retryAfter(&longer)}}
	if head := commonHead(h.Node, problemContent[0]); head != nil {
		b := append([]byte("HTTP/1.1 503 Service Unavailable\r\n"), head...)
		b = appendHeader(b, "Content-Length", t.length[0])
		b = appendHeader(b, "Retry-After", t.after[0])
		t.whole = append(append(b, "\r\n"...), body...)
	}
	return t
}

// problemOf is the problem that e is, without what it says of a key.
func problemOf(e *api.Error, status int) *problem {
	p := &problem{
		Type: problemType + string(e.Code), Title: problemTitles[e.Code], Status: status, Detail: e.Hint,
		Code: e.Code, Applied: e.Applied(),
	}
	if status == http.StatusServiceUnavailable {
		p.RetryAfter = e.RetryAfter.Seconds()
	}
	return p
}

// retryAfter is the header's value: whole seconds.
func retryAfter(e *api.Error) string {
	return strconv.FormatFloat(max(1, math.Ceil(e.RetryAfter.Seconds())), 'f', -1, 64)
}
