package integration

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/consul"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/kvconnect"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/api/observe/trace/tracetest"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/api/workerskv"
)

// passedOn is a store that notes the span that its requests bring.
type passedOn struct {
	*storetest.Memory
	parent string
}

func (s *passedOn) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	s.parent, _ = trace.Text(ctx)
	return s.Memory.Read(ctx, r, out)
}

func (s *passedOn) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	s.parent, _ = trace.Text(ctx)
	return s.Memory.List(ctx, r)
}

// TestFrontsTakeTraces: every front over HTTP continues the trace of a traceparent that is sampled, with a span that has no key, and has
// the store continue it. At a node without a collector the store continues the client's span. One that is not sampled is not traced.
func TestFrontsTakeTraces(t *testing.T) {
	const id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	const sampled, unsampled = "00-" + id + "-" + parent + "-01", "00-" + id + "-" + parent + "-00"
	for name, c := range map[string]struct {
		handler      func(b *front.Backend) http.Handler
		method, path string
		header       http.Header
	}{
		"http":         {func(b *front.Backend) http.Handler { return httpd.New(b, httpd.Config{}) }, "GET", "/v1/kv/secret", nil},
		workerskv.Name: {workerskv.New, "GET", "/secret", http.Header{workerskv.NamespaceHeader: {"NS"}}},
		"kvconnect":    {kvconnect.New, "POST", "/kvconnect/secret", http.Header{"Authorization": {"Bearer " + kvconnect.Anonymous}}},
		"consul": {func(b *front.Backend) http.Handler {
			return consul.New(b, consul.Config{
				Region: "home", Regions: func() []api.RegionID { return nil }, OneOwner: func() error { return nil }, Home: func() consul.Home { return consul.Home{} },
			})
		}, "GET", "/v1/kv/secret?raw", nil},
	} {
		r, s := &tracetest.Recorder{}, &passedOn{Memory: storetest.NewMemory()}
		ask := func(tracer *trace.Tracer, traceparent string) string {
			s.parent = ""
			q := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(`{"supportedVersions":[3]}`))
			for k, v := range c.header {
				q.Header.Set(k, v[0])
			}
			q.Header.Set("Traceparent", traceparent)
			w := httptest.NewRecorder()
			c.handler(front.New(front.Config{Store: s, Lister: s, Watcher: s, Tracer: tracer})).ServeHTTP(w, q)
			if w.Code >= http.StatusInternalServerError {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
			return s.parent
		}
		if got := ask(trace.New(r, 0), unsampled); got != "" || len(r.Spans()) != 0 {
			t.Errorf("%s: a request that is not to be traced has the spans %+v, and %q is passed on", name, r.Spans(), got)
		}
		got := ask(trace.New(r, 0), sampled)
		all := r.Spans()
		if len(all) != 1 || all[0].Parent.SpanID().String() != parent || all[0].Ends != 1 || all[0].Attribute(trace.Front) != name ||
			strings.Contains(fmt.Sprint(all[0].Name, all[0].Attributes), "secret") {
			t.Errorf("%s: the spans are %+v", name, all)
		} else if want := "00-" + id + "-" + all[0].Self.SpanID().String() + "-01"; got != want && name != "kvconnect" {
			t.Errorf("%s: %q is passed on, not %q", name, got, want)
		}
		if got := ask(trace.Forward(), sampled); got != sampled && name != "kvconnect" || len(r.Spans()) != 1 {
			t.Errorf("%s: %q is passed on without a collector, and the spans are %+v", name, got, r.Spans())
		}
	}
}
