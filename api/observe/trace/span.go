package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Scope is the name of what makes the spans, as OpenTelemetry's collectors show it.
const Scope = "github.com/edgehold/edgehold"

// Kind is what a span is to its parent.
type Kind = oteltrace.SpanKind

// The kinds of spans.
const (
	Internal = oteltrace.SpanKindInternal
	Server   = oteltrace.SpanKindServer
	Client   = oteltrace.SpanKindClient
	Consumer = oteltrace.SpanKindConsumer
)

// Span is a part of the time of a traced request. The zero Span is that of a request that is not traced: its methods do nothing, and
// allocate nothing. No attribute may hold a key, a value or a credential.
type Span struct{ of oteltrace.Span }

// Recording reports whether there is a span: the request is traced, and this node makes spans.
func (s Span) Recording() bool { return s.of != nil }

// Name gives the span another name, which is known only when it ends.
func (s Span) Name(name string) {
	if s.of != nil {
		s.of.SetName(name)
	}
}

// Set sets an attribute.
func (s Span) Set(name, value string) {
	if s.of != nil {
		s.of.SetAttributes(attribute.String(name, value))
	}
}

// SetInt sets an attribute that is a number.
func (s Span) SetInt(name string, value int) {
	if s.of != nil {
		s.of.SetAttributes(attribute.Int(name, value))
	}
}

// Fail notes that what the span is about has failed. code comes from a small fixed set: the code of an error, or an HTTP status.
func (s Span) Fail(code string) {
	if s.of != nil {
		s.of.SetAttributes(attribute.String(ErrorType, code))
		s.of.SetStatus(codes.Error, "")
	}
}

// End ends the span now.
func (s Span) End() {
	if s.of != nil {
		s.of.End()
	}
}

// EndAt ends the span at an instant that has passed.
func (s Span) EndAt(t time.Time) {
	if s.of != nil {
		s.of.End(oteltrace.WithTimestamp(t))
	}
}

// Of returns the span of ctx; the zero Span if it has none that this node makes.
func Of(ctx context.Context) Span {
	if s := oteltrace.SpanFromContext(ctx); s.IsRecording() {
		return Span{s}
	}
	return Span{}
}

// Start begins a span below that of ctx. The caller must end it. If ctx has none, it returns ctx and the zero Span.
func Start(ctx context.Context, name string, kind Kind) (context.Context, Span) {
	parent := oteltrace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, s := parent.TracerProvider().Tracer(Scope).Start(ctx, name, oteltrace.WithSpanKind(kind))
	return ctx, Span{s}
}

// Past is Start of a span that began at an instant that has passed. The span is not in any context.
func Past(ctx context.Context, name string, began time.Time) Span {
	parent := oteltrace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return Span{}
	}
	_, s := parent.TracerProvider().Tracer(Scope).Start(ctx, name, oteltrace.WithTimestamp(began))
	return Span{s}
}

// Below returns a span's own context: what begins in it is below the span.
func (s Span) Below(ctx context.Context) context.Context {
	if s.of == nil {
		return ctx
	}
	return oteltrace.ContextWithSpan(ctx, s.of)
}

// Carry returns ctx with the span of another context, for work that may outlive a request.
func Carry(ctx, from context.Context) context.Context {
	if s := oteltrace.SpanFromContext(from); s.IsRecording() || s.SpanContext().IsSampled() {
		return oteltrace.ContextWithSpan(ctx, s)
	}
	return ctx
}

// ID returns the id of the trace of ctx in hexadecimal; "" if there is none.
func ID(ctx context.Context) string {
	if c := oteltrace.SpanContextFromContext(ctx); c.HasTraceID() {
		return c.TraceID().String()
	}
	return ""
}
