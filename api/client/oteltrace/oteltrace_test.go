package oteltrace_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/api/client/oteltrace"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/api/observe/trace/tracetest"
)

// parents is a node that has no key, and notes the traceparents of its requests.
type parents struct {
	mu  sync.Mutex
	all []string // guarded by mu
}

func (p *parents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/v1/kv/") {
		p.all = append(p.all, r.Header.Get("Traceparent"))
	}
	w.Header().Set("Edgehold-Version", "1.1")
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte(`{"code":"not_found","applied":"no"}`))
}

// TestTracer: a call is a span below the program's own, with the code of its error and without its key, and the request names it; a
// provider that does not sample makes none, and none is named.
func TestTracer(t *testing.T) {
	node, r := &parents{}, &tracetest.Recorder{}
	s := httptest.NewServer(node)
	defer s.Close()
	get := func(ctx context.Context, opts ...client.Option) {
		c, err := client.Open(ctx, client.Config{Endpoints: []string{s.URL}}, opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := c.Get(ctx, "secret"); api.CodeOf(err) != api.CodeNotFound {
			t.Error(err)
		}
	}
	ctx, own := trace.New(r, 1).Begin(t.Context(), "the program's own")
	get(ctx, client.WithTracer(oteltrace.Tracer(r)))
	own.End()
	get(t.Context(), client.WithTracer(oteltrace.Tracer(noop.NewTracerProvider())))
	get(t.Context())
	all := r.Spans()
	if len(all) != 2 || all[1].Name != "get" || all[1].Parent.SpanID() != all[0].Self.SpanID() || all[1].Ends != 1 ||
		all[1].Attribute(trace.ErrorType) != string(api.CodeNotFound) || all[1].Attribute(trace.DBOperation) != "get" || len(all[1].Attributes) != 3 {
		t.Fatalf("the spans are %+v", all)
	}
	node.mu.Lock()
	defer node.mu.Unlock()
	want := "00-" + all[1].Self.TraceID().String() + "-" + all[1].Self.SpanID().String() + "-01"
	if got := strings.Join(node.all, " "); got != want+"  " {
		t.Errorf("the requests name %q, want %q", got, want)
	}
}
