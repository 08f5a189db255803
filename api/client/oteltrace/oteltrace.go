// Package oteltrace has the Go SDK make spans by OpenTelemetry:
//
//	c, err := client.Open(ctx, config, client.WithTracer(oteltrace.Tracer(provider)))
//
// It is a package of its own so that programs without it do not depend on OpenTelemetry.
package oteltrace

import (
	"context"
	"net/http"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/api/observe/trace"
)

// Tracer returns what makes a span of each call of a Client, below the span of the call's context if that has one. The nodes continue
// the trace if the provider samples the span. A span has no key, no value and no token.
func Tracer(p oteltrace.TracerProvider) client.Tracer {
	tracer := trace.New(p, 0)
	return func(ctx context.Context, op string) (context.Context, client.Span) {
		ctx, span := tracer.Begin(ctx, op)
		span.Set(trace.DBSystem, trace.System)
		span.Set(trace.DBOperation, op)
		return ctx, client.Span{Header: header(ctx, span), End: func(err error) {
			if err != nil && span.Recording() {
				span.Fail(string(api.CodeOf(err)))
			}
			span.End()
		}}
	}
}

// header is what a node needs to continue the trace; nil if the span is not sampled.
func header(ctx context.Context, span trace.Span) http.Header {
	if !span.Recording() || !trace.Sampled(ctx) {
		return nil
	}
	h := http.Header{}
	trace.Headers(ctx, h)
	return h
}
