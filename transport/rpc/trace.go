package rpc

import (
	"context"

	"google.golang.org/grpc/metadata"

	"github.com/edgehold/edgehold/api/observe/trace"
)

// The names under which a request's metadata has the span that it belongs to. They are those of W3C's Trace Context. A node that does
// not know them ignores them.
const (
	traceKey = "traceparent"
	stateKey = "tracestate"
)

// FullName returns the name of a method as it is on the wire, for spans.
func FullName(method string) string { return service + "/" + method }

// sendTrace adds the span of ctx to the metadata of a request, if the request is traced.
func sendTrace(ctx context.Context) context.Context {
	if parent, state := trace.Text(ctx); parent != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, traceKey, parent)
		if state != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, stateKey, state)
		}
	}
	return ctx
}

// TraceOf returns the span of the other node that the request with this context belongs to; none if it names none that can be read.
func TraceOf(ctx context.Context) trace.Remote {
	parent := metadata.ValueFromIncomingContext(ctx, traceKey)
	if len(parent) != 1 {
		return trace.Remote{}
	}
	state := metadata.ValueFromIncomingContext(ctx, stateKey)
	if len(state) != 1 {
		state = []string{""}
	}
	return trace.ParseText(parent[0], state[0])
}
