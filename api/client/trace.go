package client

import (
	"context"
	"net/http"
)

// Option is an option of [Open] and [New].
type Option func(*Client)

// Tracer begins the span of a call, below that of ctx if there is one. op names the call, such as "get". The returned context is that of
// the call. A Tracer must be safe for concurrent use. Package oteltrace, below this one, has the Tracer of OpenTelemetry.
type Tracer func(ctx context.Context, op string) (context.Context, Span)

// Span is the span of one call.
type Span struct {
	// Header is what a node needs to continue the trace: traceparent and tracestate (W3C Trace Context), under the names that
	// [http.Header] has. It is nil if the call is not sampled.
	Header http.Header
	// End, if it is not nil, ends the span, with the error that the call returns. It is called once, even if the call panics.
	End func(err error)
}

// WithTracer has the Client make a span of each call. A Tracer gets no key, no value and no token. The nodes continue the trace if the
// span has a Header, and they have a collector of their own.
//
// A call whose span has a Header is sent as an HTTP request of its own, which takes a little longer than one on a stream. A Get that a
// lease in this process answers at once makes no span.
func WithTracer(begin Tracer) Option { return func(c *Client) { c.tracer = begin } }

// run sends the call until a node answers it, as carryOut does, in a span if the Client makes spans.
func (c *Client) run(ctx context.Context, q *call) (a *answer, err error) {
	if c.tracer == nil {
		return c.carryOut(ctx, q)
	}
	ctx, span := c.tracer(ctx, q.op)
	if span.End != nil {
		defer func() { span.End(err) }()
	}
	q.trace = span.Header
	return c.carryOut(ctx, q)
}
