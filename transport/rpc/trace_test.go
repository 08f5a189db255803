package rpc

import (
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestTraceOf: a traced request's metadata is read as its span; garbage, and what comes twice, is as none.
func TestTraceOf(t *testing.T) {
	for name, c := range map[string]struct {
		md   metadata.MD
		want bool
	}{
		"a span":       {metadata.Pairs(traceKey, parent, stateKey, "a=b"), true},
		"a bad state":  {metadata.Pairs(traceKey, parent, stateKey, "\x00"), true},
		"two states":   {metadata.Pairs(traceKey, parent, stateKey, "a=b", stateKey, "c=d"), true},
		"nothing":      {nil, false},
		"a state":      {metadata.Pairs(stateKey, "a=b"), false},
		"two spans":    {metadata.Pairs(traceKey, parent, traceKey, parent), false},
		"garbage":      {metadata.Pairs(traceKey, strings.Repeat("\xff", 1<<16)), false},
		"not sampled":  {metadata.Pairs(traceKey, strings.TrimSuffix(parent, "1")+"0"), false},
		"another name": {metadata.Pairs("x-"+traceKey, parent), false},
	} {
		if got := TraceOf(metadata.NewIncomingContext(t.Context(), c.md)); got.Sampled() != c.want {
			t.Errorf("%s: there is a span: %v", name, got.Sampled())
		}
	}
}

// TestNoTraceNoBytes: a request that is not traced has no metadata of traces, so that it is what it was before there were any.
func TestNoTraceNoBytes(t *testing.T) {
	ctx := sendTrace(t.Context())
	if md, _ := metadata.FromOutgoingContext(ctx); len(md) != 0 || ctx != t.Context() {
		t.Errorf("it has %v", md)
	}
}
