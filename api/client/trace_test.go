package client

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// faulty is a Store whose reads panic.
type faulty struct{ *storetest.Memory }

func (faulty) Read(context.Context, *api.ReadRequest, *api.ReadResult) error { panic("a fault") }

// refusing is a Store that refuses reads.
type refusing struct{ *storetest.Memory }

func (refusing) Read(context.Context, *api.ReadRequest, *api.ReadResult) error {
	return api.Errorf(api.CodeDenied, "no right")
}

// TestSpanEnds: the span of a call ends once, with the error of the call, if it succeeds, fails, is cancelled or panics.
func TestSpanEnds(t *testing.T) {
	for name, c := range map[string]struct {
		store api.Store
		do    func(ctx context.Context, c *Client)
		want  error
	}{
		"put": {storetest.NewMemory(), func(ctx context.Context, c *Client) { _, _ = c.Put(ctx, "k", nil) }, nil},
		"get": {refusing{storetest.NewMemory()}, func(ctx context.Context, c *Client) { _, _ = c.Get(ctx, "k") }, api.CodeDenied},
		"cancelled": {storetest.NewMemory(), func(ctx context.Context, c *Client) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			_, _ = c.Get(ctx, "k")
		}, api.CodeUnavailable},
		"panic": {faulty{storetest.NewMemory()}, func(ctx context.Context, c *Client) {
			defer func() { _ = recover() }()
			_, _ = c.Get(ctx, "k")
		}, nil},
	} {
		begun, ends := 0, 0
		traced := New(c.store, WithTracer(func(ctx context.Context, op string) (context.Context, Span) {
			begun++
			return ctx, Span{Header: http.Header{"Traceparent": {op}}, End: func(err error) {
				if ends++; !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Errorf("%s: it ends with %v, want %v", name, err, c.want)
				}
			}}
		}))
		c.do(t.Context(), traced)
		if begun != 1 || ends != 1 {
			t.Errorf("%s: %d spans begin, and %d end", name, begun, ends)
		}
		_ = traced.Close()
	}
}

// TestNoSpan: a Tracer may make no span of a call, as the zero Span.
func TestNoSpan(t *testing.T) {
	c := New(storetest.NewMemory(), WithTracer(func(ctx context.Context, _ string) (context.Context, Span) { return ctx, Span{} }))
	defer func() { _ = c.Close() }()
	if _, err := c.Put(t.Context(), "k", nil); err != nil {
		t.Error(err)
	}
}
