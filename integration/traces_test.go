package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlpcommon "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/api/client/oteltrace"
	"github.com/edgehold/edgehold/cluster/local"
)

// collector takes traces over OTLP/HTTP, and keeps the spans.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans map[string]collected // by the span's id
}

// collected is a span and the node, or "client", that it comes from.
type collected struct {
	*otlp.Span
	from string
}

func newCollector(t *testing.T) *collector {
	c := &collector{spans: map[string]collected{}}
	c.Server = httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in coltrace.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range in.ResourceSpans {
		from := text(of.Resource.Attributes, "service.instance.id")
		if from == "" {
			from = "client"
		}
		for _, s := range of.ScopeSpans {
			for _, span := range s.Spans {
				c.spans[string(span.SpanId)] = collected{span, from}
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func text(all []*otlpcommon.KeyValue, name string) string {
	for _, a := range all {
		if a.Key == name {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// path is the names of a span and those above it, up to the root, each with where it comes from and the node that it names.
func (c *collector) path(s collected) string {
	var all []string
	for {
		at := s.from + ": " + s.Name
		if n := text(s.Attributes, "edgehold.node"); n != "" {
			at += " (" + n + ")"
		}
		all = append(all, at)
		above, ok := c.spans[string(s.ParentSpanId)]
		if !ok || string(above.TraceId) != string(s.TraceId) {
			if len(s.ParentSpanId) > 0 {
				all = append(all, "?")
			}
			break
		}
		s = above
	}
	slices.Reverse(all)
	return strings.Join(all, " > ")
}

// await waits until the trace of the only span of that name from the client has a span for each of the paths.
func (c *collector) await(t *testing.T, root string, want ...string) {
	t.Helper()
	var got []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		got = c.trace(root)
		if !slices.ContainsFunc(want, func(w string) bool { return !slices.ContainsFunc(got, like(w)) }) {
			if i := slices.IndexFunc(got, func(p string) bool { return strings.Contains(p, "?") }); i >= 0 {
				continue // a span above it has not come yet
			}
			return
		}
	}
	t.Errorf("the trace of %q has:\n%s\nwant:\n%s", root, strings.Join(got, "\n"), strings.Join(want, "\n"))
}

// like reports whether a path is the wanted one, in which " .. " stands for any spans.
func like(want string) func(path string) bool {
	from, to, open := strings.Cut(want, " .. ")
	return func(path string) bool {
		return path == want || open && strings.HasPrefix(path, from+" > ") && strings.HasSuffix(path, " > "+to)
	}
}

// trace returns the paths of all spans of the newest trace whose root has the name.
func (c *collector) trace(root string) (paths []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var top collected
	for _, s := range c.spans {
		if s.from == "client" && s.Name == root && (top.Span == nil || s.StartTimeUnixNano > top.StartTimeUnixNano) {
			top = s
		}
	}
	if top.Span == nil {
		return nil
	}
	for _, s := range c.spans {
		if string(s.TraceId) == string(top.TraceId) {
			paths = append(paths, c.path(s))
		}
	}
	slices.Sort(paths)
	return paths
}

// TestTraces: a request is one trace, from the program over its edge, the owner in another region and its log to the holders of leases:
// a collector gets all its spans, each below the one that caused it, and none has a key or a value. An edge that has no collector passes the
// trace on.
func TestTraces(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a planet")
	}
	at := newCollector(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	planet, err := local.Start(ctx, local.Config{
		Regions: []api.RegionID{"us", "eu"}, Replicas: 1, Edges: 2, Port: -1, WAN: "off", OTLP: at.URL, Untraced: []api.NodeID{"us-edge-2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = planet.Close() }()
	urls := map[api.NodeID]string{}
	for _, n := range planet.Nodes() {
		urls[n.Node] = n.URL
	}
	traced := at.client(t, urls["us-edge-1"])
	plain := openTraced(t, urls["eu-edge-1"])

	const secret = "eu/very-secret"
	for leased := false; !leased; { // until the edge of the other region holds a lease
		v, err := plain.Get(ctx, secret)
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		leased = v.ServedBy == api.ServedByLease
	}
	if _, err := traced.Put(ctx, secret, []byte("very-secret value")); err != nil {
		t.Fatal(err)
	}
	for _, garbage := range []string{"", "\xff", "00-00000000000000000000000000000000-0000000000000000-01", strings.Repeat("0", 8000)} {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, urls["us-edge-1"]+"/v1/kv/"+secret, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		q.Header["Traceparent"], q.Header["Tracestate"] = []string{garbage, garbage}, []string{garbage}
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
			t.Errorf("a request with garbage for a traceparent is answered %s", res.Status)
		}
	}
	wantTraceOfProblem(ctx, t, urls["us-edge-1"])
	if err := traced.Txn(ctx, func(tx *client.Tx) error {
		_ = tx.Put("us/very-secret", []byte("very-secret 1"))
		return tx.Put(secret, []byte("very-secret 2"))
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := traced.Get(ctx, secret); err != nil {
		t.Fatal(err)
	}
	if _, err := at.client(t, urls["us-edge-2"]).Delete(ctx, secret); err != nil {
		t.Fatal(err)
	}
	const (
		put   = "client: put > us-edge-1: PUT /v1/kv/{key}"
		owner = put + " > us-edge-1: edgehold.Peer2/Do (eu-1) > eu-1: edgehold.Peer2/Do (us-edge-1)"
	)
	at.await(t, "put", "client: put", put, owner,
		owner+" > eu-1: revoke > eu-1: await holder (eu-edge-1)",
		owner+" > eu-1: revoke > eu-edge-1: give up leases",
		owner+" > eu-1: propose > eu-1: queue", owner+" > eu-1: propose > eu-1: append", owner+" > eu-1: propose > eu-1: apply")

	txn := "client: txn > us-edge-1: POST /v1/txn > us-edge-1: transaction"
	at.await(t, "txn", txn,
		txn+" .. us-1: propose > us-1: append", txn+" .. eu-1: propose > eu-1: append") // one prepares, and the other commits last

	at.await(t, "get", "client: get > us-edge-1: GET /v1/kv/{key} > us-edge-1: edgehold.Peer2/Read (eu-1) > eu-1: edgehold.Peer2/Read (us-edge-1) > eu-1: confirm")

	beyond := "client: delete > eu-1: edgehold.Peer2/Do (us-edge-2)"
	at.await(t, "delete", "client: delete", beyond, beyond+" > eu-1: propose > eu-1: append")

	at.mu.Lock()
	defer at.mu.Unlock()
	for _, s := range at.spans {
		if strings.Contains(fmt.Sprint(s.Span), "very-secret") {
			t.Errorf("a span has a key or a value: %v", s.Span)
		}
	}
}

// wantTraceOfProblem demands that the error of a request which is traced names its trace.
func wantTraceOfProblem(ctx context.Context, t *testing.T, url string) {
	t.Helper()
	const id = "0af7651916cd43dd8448eb211c80319c"
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/kv/us/absent", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Traceparent", "00-"+id+"-b7ad6b7169203331-01")
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var p struct{ Instance string }
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || p.Instance != "urn:edgehold:trace:"+id {
		t.Errorf("%s: the instance is %q, %v", res.Status, p.Instance, err)
	}
}

// client returns a client of the node that traces every call.
func (c *collector) client(t *testing.T, url string) *client.Client {
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(c.URL+"/v1/traces"))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	return openTraced(t, url, client.WithTracer(oteltrace.Tracer(provider)))
}

func openTraced(t *testing.T, url string, opts ...client.Option) *client.Client {
	c, err := client.Open(t.Context(), client.Config{Endpoints: []string{url}}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
