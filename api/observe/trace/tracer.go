package trace

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"
)

const (
	// PerSecond bounds the traces that a node begins or continues in a second. Requests over it are not traced.
	PerSecond = 1000
	// maxState bounds a tracestate, in bytes. A longer one is left out; the W3C has every participant pass on at least 512.
	maxState = 512
	// maxParent is how long the longest traceparent is that is looked at: that of version 00 has 55.
	maxParent = 256
)

// The headers of W3C's Trace Context. Their names are written as net/http has them in a map.
const (
	parentHeader = "Traceparent"
	stateHeader  = "Tracestate"
)

// Tracer decides which requests are traced, where they come in. It is safe for concurrent use. A nil Tracer traces none, at no cost.
type Tracer struct {
	of    oteltrace.Tracer // nil: it makes no spans, and passes on the traces of others
	below uint64           // a request without a traceparent is traced if 63 random bits are below it

	second atomic.Int64 // of the count
	begun  atomic.Int64
}

// New returns a Tracer whose spans the provider collects. Of requests that do not say whether they are traced, it traces the given
// part, from 0 to 1. The provider must sample whatever it is given.
func New(p oteltrace.TracerProvider, ratio float64) *Tracer {
	return &Tracer{of: p.Tracer(Scope), below: uint64(min(max(ratio, 0), 1) * math.MaxInt64)}
}

// Forward returns a Tracer that makes no spans. If a request or a message names a sampled span, the context of what is done for it is in
// that span's trace, so that other nodes continue the trace. A request that names none costs a look at its headers.
func Forward() *Tracer { return &Tracer{} }

// Serve begins the span of a request from outside. If its headers have a traceparent that can be read, that says whether the request is
// traced; else chance does. h may be nil. The caller must end the span. The context is ctx if the request is not traced.
func (t *Tracer) Serve(ctx context.Context, name string, h http.Header) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	if given := parentOf(h); given.IsValid() {
		if !given.IsSampled() || !t.room() {
			return ctx, Span{}
		}
		ctx = oteltrace.ContextWithRemoteSpanContext(ctx, given)
	} else if t.of == nil || rand.Uint64()>>1 >= t.below || !t.room() {
		return ctx, Span{}
	}
	return t.start(ctx, name, Server)
}

// start begins a span below that of ctx, unless t makes none.
func (t *Tracer) start(ctx context.Context, name string, kind Kind) (context.Context, Span) {
	if t.of == nil {
		return ctx, Span{}
	}
	ctx, s := t.of.Start(ctx, name, oteltrace.WithSpanKind(kind))
	return ctx, recorded(s)
}

// Continue begins a span, at this node, below that of another node, as its message or headers bring it. The caller must end it. It
// returns ctx if there is none, or it cannot be read.
func (t *Tracer) Continue(ctx context.Context, name string, kind Kind, from Remote) (context.Context, Span) {
	if t == nil || !from.of.IsSampled() || !t.room() {
		return ctx, Span{}
	}
	return t.start(oteltrace.ContextWithRemoteSpanContext(ctx, from.of), name, kind)
}

// Begin begins the span of a call of a program, below the program's own span if ctx has one. The provider decides whether it is
// recorded. The caller must end it.
func (t *Tracer) Begin(ctx context.Context, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	return t.start(ctx, name, Client)
}

func recorded(s oteltrace.Span) Span {
	if s.IsRecording() {
		return Span{s}
	}
	return Span{}
}

// room reports whether one more trace may begin in this second. A race at the turn of a second may let in a few more.
func (t *Tracer) room() bool {
	now := time.Now().Unix()
	if t.second.Load() != now {
		t.second.Store(now)
		t.begun.Store(0)
	}
	return t.begun.Add(1) <= PerSecond
}

// parentOf returns the span that headers name; an invalid one if they name none that can be read.
func parentOf(h http.Header) oteltrace.SpanContext {
	parent := h[parentHeader]
	if len(parent) != 1 || len(parent[0]) > maxParent { // several are as none
		return oteltrace.SpanContext{}
	}
	state := h[stateHeader]
	one := propagation.MapCarrier{"traceparent": parent[0]}
	switch size := stateSize(state); {
	case size == 0 || size > maxState:
	case len(state) == 1:
		one["tracestate"] = state[0]
	default: // RFC 9110: several lines are one list
		one["tracestate"] = strings.Join(state, ",")
	}
	return oteltrace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), one))
}

func stateSize(lines []string) (n int) {
	for _, l := range lines {
		n += len(l) + 1
	}
	return n
}

// Headers sets the headers by which the receiver of a request continues the trace of ctx. It sets none if ctx has no span, or one that
// is not sampled.
func Headers(ctx context.Context, h http.Header) {
	if oteltrace.SpanContextFromContext(ctx).IsSampled() {
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	}
}

// Text returns the span of ctx as the values of a traceparent and a tracestate; "" if the request is not traced.
func Text(ctx context.Context) (parent, state string) {
	if !Sampled(ctx) {
		return "", ""
	}
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c["traceparent"], c["tracestate"]
}

// Sampled reports whether the request of ctx is traced, by this node or by another: what is sent for it names its span.
func Sampled(ctx context.Context) bool { return oteltrace.SpanContextFromContext(ctx).IsSampled() }
