package door

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/observe/trace"
)

const (
	// drainTimeout bounds the wait for the rest of a body that is not used, and drainBytes what is taken of it.
	drainTimeout = 5 * time.Second
	drainBytes   = 4 * api.MaxValueBytes
	// WriteTimeout bounds how long a client may take to accept an answer.
	WriteTimeout = time.Minute
	// StreamTimeout bounds how long a client may take to accept a part of a stream.
	StreamTimeout = 30 * time.Second
	// StayAway is the least that a client refused for load is asked to wait: the header has whole seconds.
	StayAway = time.Second
	// smallAnswer is the size of answers that need no deadline of their own.
	smallAnswer = 4 << 10
)

// Exchange is one request to a front and its answer. Its methods are called in the order in which they stand here. It belongs to one
// goroutine.
type Exchange struct {
	W      http.ResponseWriter
	R      *http.Request
	Start  time.Time
	Base   context.Context // of the request, with its principal: set by Identify
	Store  front.Caller    // of the principal: set by Identify
	Ctx    *Context        // made from Base, and ends with the request's timeout: set by Bound
	Status int             // of the answer
	// Pattern is the path with names in braces for what clients choose, for spans; "" if the front has none. Untraced, set before
	// Identify, keeps the request out of traces.
	Pattern  string
	Untraced bool

	door            *Door
	conn            *connState        // of the request's connection; nil if nothing is remembered
	place           *admission.Ticket // of a request; nil for what is none, and once it has left
	taken           bool              // the whole body has been read
	unauthenticated bool              // it is answered 401
	replied         bool              // the answer has begun
	opened          time.Time         // when the stream that is the answer began; zero if it is none
	note            front.Note        // of what was asked of Store
	span            trace.Span        // of the request, if it is traced; the zero Span once it has ended
}

// Begin makes x the exchange of a request. A client has a moment for its body until the request's own time is known.
func (x *Exchange) Begin(d *Door, w http.ResponseWriter, r *http.Request) {
	x.door, x.W, x.R, x.Status, x.Start = d, w, r, http.StatusOK, time.Now()
	if r.ContentLength != 0 {
		x.readBy(x.Start.Add(drainTimeout))
	}
}

// SameOrigin returns CodeDenied if the request comes from a web page of another origin and may write.
func (x *Exchange) SameOrigin() error {
	if err := x.door.origin.Check(x.R); err != nil {
		return api.Errorf(api.CodeDenied, "a page of another origin may not write here")
	}
	return nil
}

// Bound starts the request's time. Ctx.End must be called.
func (x *Exchange) Bound(timeout time.Duration) { x.Ctx = NewContext(x.Base, x.Start.Add(timeout)) }

// LetIn lets the request in, before anything is done for it. The error says that there is no room for it; its status is 503. Leave
// must be called.
func (x *Exchange) LetIn(q front.Ask) error { return x.enter(x.Ctx, q) }

// LetInAgain lets the request in after Open, for work that costs the node what a request does. ctx, which is made from Base, bounds how
// long it waits for that. Its error is that of LetIn. Leave must be called.
func (x *Exchange) LetInAgain(ctx context.Context, q front.Ask) error { return x.enter(ctx, q) }

func (x *Exchange) enter(ctx context.Context, q front.Ask) error {
	place, refusal := x.door.AdmitLate(ctx, q, x.Closing().Done())
	if refusal != nil {
		return x.TurnAway(refusal)
	}
	x.place = place
	return nil
}

// TurnAway is the refusal e for load as this request's error. It ends the connection, so that a client that does not wait as
// asked at least has to connect again.
func (x *Exchange) TurnAway(e *api.Error) error {
	if x.R.ProtoMajor == 1 {
		x.W.Header()["Connection"] = closing
	}
	longer := *e
	longer.RetryAfter = max(longer.RetryAfter, StayAway)
	return WithStatus(http.StatusServiceUnavailable, &longer)
}

var closing = []string{"close"}

// About says which key the request is about, once its body is known; see [admission.Ticket.About].
func (x *Exchange) About(k api.Key) { x.place.About(k) }

// Leave gives the place of the request back, if it still has one.
func (x *Exchange) Leave() {
	x.place.Leave()
	x.place = nil
}

// Headers sets the headers that every answer has.
func (x *Exchange) Headers() {
	h := x.W.Header()
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	if x.door.node != nil {
		h["Edgehold-Node"] = x.door.node
	}
}

var (
	noStore = []string{"no-store"}
	noSniff = []string{"nosniff"}
)

// Reply begins the answer of size bytes (-1: unknown): status and headers. From here on the client has a bounded time to take it;
// for a small answer that is the server's WriteTimeout, since it fits the connection's buffers.
func (x *Exchange) Reply(status, size int) {
	x.Status, x.replied = status, true
	x.Headers()
	if size < 0 || size > smallAnswer {
		_ = http.NewResponseController(x.W).SetWriteDeadline(time.Now().Add(WriteTimeout))
	}
	x.W.WriteHeader(status)
}

// Open says that the answer is a stream, which begins now: the request is not in flight any more, and its connection is not one of
// the open ones, until over is called.
func (x *Exchange) Open() (over func()) {
	x.Leave()
	x.endSpan("stream")
	x.opened = time.Now()
	return x.conn.streams(x.R)
}

// End ends the exchange once it is answered: what is left of the body is read, and the request is counted as one of the route.
func (x *Exchange) End(route string) {
	x.settle()
	x.drain()
	if x.opened.IsZero() {
		x.opened = time.Now()
	}
	x.endSpan(route)
	labels, took := front.Labels{Front: x.door.name, Route: route, Status: StatusText(x.Status)}, x.opened.Sub(x.Start)
	x.door.Observe(labels, took.Seconds())
	x.door.Slow(x.Base, labels, &x.note, x.Start, took)
}

// drain reads the rest of an HTTP/2 body that the handler did not read, up to a bound. The answer goes out after it. Else the
// stream is reset while the client still sends, and some clients then lose the answer. HTTP/1.1 has its own way.
func (x *Exchange) drain() {
	if x.R.ProtoMajor < 2 || x.R.ContentLength == 0 || x.taken || x.R.Header.Get("Expect") != "" {
		return
	}
	x.readBy(time.Now().Add(drainTimeout))
	_, _ = io.CopyN(io.Discard, x.R.Body, drainBytes) // the answer is the same, whatever became of the body
}

// closingKey is where the context of a request has the context that ends when its server begins to close.
type closingKey struct{}

// WithClosing returns a context for the requests of a server; closing ends when the server begins to close.
func WithClosing(ctx, closing context.Context) context.Context {
	return context.WithValue(ctx, closingKey{}, closing)
}

// Closing ends when the server of this request begins to close; never if the server does not say.
func (x *Exchange) Closing() context.Context {
	if c, ok := x.R.Context().Value(closingKey{}).(context.Context); ok {
		return c
	}
	return context.Background()
}
