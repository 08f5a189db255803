package client

import (
	"context"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe/trace"
)

// Option is an option of [Open] and [New].
type Option func(*Client)

// WithTracer has the Client make a span of each call, by OpenTelemetry, below the span of the call's context if that has one. The nodes
// continue the trace if the provider samples it, and have a collector of their own. A span has no key, no value and no token.
//
// A call that is sampled is sent as an HTTP request of its own, which takes a little longer than one on a stream. A Get that a lease in
// this process answers at once makes no span.
func WithTracer(p oteltrace.TracerProvider) Option {
	return func(c *Client) { c.tracer = trace.New(p, 0) }
}

// run sends the call until a node answers it, as carryOut does, in a span if the Client makes spans.
func (c *Client) run(ctx context.Context, q *call) (*answer, error) {
	if c.tracer == nil {
		return c.carryOut(ctx, q)
	}
	ctx, span := c.tracer.Begin(ctx, q.op)
	defer span.End()
	span.Set(trace.DBSystem, trace.System)
	span.Set(trace.DBOperation, q.op)
	q.traced = span.Recording()
	a, err := c.carryOut(ctx, q)
	if err != nil && span.Recording() {
		span.Fail(string(api.CodeOf(err)))
	}
	return a, err
}
