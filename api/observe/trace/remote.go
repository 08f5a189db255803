package trace

import (
	"context"

	oteltrace "go.opentelemetry.io/otel/trace"
)

// Remote is a span of another node, as a message brings it. The zero Remote is none.
type Remote struct{ of oteltrace.SpanContext }

// Sampled reports whether there is a span.
func (r Remote) Sampled() bool { return r.of.IsSampled() }

// remoteBytes is the length of the encoding of a Remote: the trace's id, the span's, and the flags.
const remoteBytes = 16 + 8 + 1

// Bytes returns the span of ctx for a message to another node, in 25 bytes; nil if the request is not traced.
func Bytes(ctx context.Context) []byte {
	c := oteltrace.SpanContextFromContext(ctx)
	if !c.IsSampled() || !c.IsValid() {
		return nil
	}
	trace, span := c.TraceID(), c.SpanID()
	b := make([]byte, 0, remoteBytes)
	b = append(b, trace[:]...)
	b = append(b, span[:]...)
	return append(b, byte(oteltrace.FlagsSampled))
}

// ParseRemote reads what Bytes has written. Anything else is none.
func ParseRemote(b []byte) Remote {
	if len(b) != remoteBytes || oteltrace.TraceFlags(b[24]) != oteltrace.FlagsSampled {
		return Remote{}
	}
	c := oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
		TraceID: oteltrace.TraceID(b[:16]), SpanID: oteltrace.SpanID(b[16:24]), TraceFlags: oteltrace.FlagsSampled, Remote: true,
	})
	if !c.IsValid() {
		return Remote{}
	}
	return Remote{c}
}

// ParseText reads the text of a traceparent and a tracestate, as [Headers] has written them. Anything else is none.
func ParseText(parent, state string) Remote {
	h := map[string][]string{parentHeader: {parent}}
	if state != "" {
		h[stateHeader] = []string{state}
	}
	return Remote{parentOf(h)}
}
