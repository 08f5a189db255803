package trace

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"
)

// recorder is a provider that records every span. It is its own tracer.
type recorder struct {
	embedded.TracerProvider
	embedded.Tracer
	mu    sync.Mutex
	spans []*recordedSpan
}

type recordedSpan struct {
	noop.Span
	of           *recorder
	name         string
	self, parent oteltrace.SpanContext
	attributes   []attribute.KeyValue
	failed       bool
	began, ended time.Time
}

func (r *recorder) Start(ctx context.Context, name string, opts ...oteltrace.SpanStartOption) (context.Context, oteltrace.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	parent := oteltrace.SpanContextFromContext(ctx)
	id := parent.TraceID()
	if !id.IsValid() {
		id = oteltrace.TraceID{15: byte(len(r.spans) + 1)}
	}
	cfg := oteltrace.NewSpanStartConfig(opts...)
	s := &recordedSpan{of: r, name: name, parent: parent, began: cfg.Timestamp()}
	s.self = oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
		TraceID: id, SpanID: oteltrace.SpanID{7: byte(len(r.spans) + 1)}, TraceFlags: oteltrace.FlagsSampled, TraceState: parent.TraceState(),
	})
	r.spans = append(r.spans, s)
	return oteltrace.ContextWithSpan(ctx, s), s
}

func (s *recordedSpan) SpanContext() oteltrace.SpanContext { return s.self }
func (s *recordedSpan) IsRecording() bool                  { return s.ended.IsZero() }
func (s *recordedSpan) SetName(name string)                { s.name = name }
func (s *recordedSpan) SetAttributes(all ...attribute.KeyValue) {
	s.attributes = append(s.attributes, all...)
}
func (s *recordedSpan) SetStatus(c codes.Code, _ string)         { s.failed = c == codes.Error }
func (s *recordedSpan) TracerProvider() oteltrace.TracerProvider { return provider{s.of} }
func (s *recordedSpan) End(opts ...oteltrace.SpanEndOption) {
	cfg := oteltrace.NewSpanEndConfig(opts...)
	if s.ended = cfg.Timestamp(); s.ended.IsZero() {
		s.ended = time.Now()
	}
}

type provider struct{ *recorder }

func (p provider) Tracer(string, ...oteltrace.TracerOption) oteltrace.Tracer { return tracer(p) }

type tracer struct{ *recorder }

const (
	good    = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	goodID  = "0af7651916cd43dd8448eb211c80319c"
	goodPar = "b7ad6b7169203331"
)

// TestServe: a request with a sampled traceparent continues that trace, with its state; one that says it is not sampled is not traced, and
// one that says nothing, or what cannot be read, is traced by chance.
func TestServe(t *testing.T) {
	for name, c := range map[string]struct {
		parent, state []string
		continues     bool
		traced        bool // with a ratio of 1
		wantState     string
	}{
		"nothing":                     {nil, nil, false, true, ""},
		"sampled":                     {[]string{good}, nil, true, true, ""},
		"a state":                     {[]string{good}, []string{"congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"}, true, true, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"},
		"a state on two lines":        {[]string{good}, []string{"congo=1", "rojo=2"}, true, true, "congo=1,rojo=2"},
		"a state that is no list":     {[]string{good}, []string{"\x00="}, true, true, ""},
		"a long state":                {[]string{good}, []string{"a=" + strings.Repeat("b", maxState)}, true, true, ""},
		"not sampled":                 {[]string{strings.TrimSuffix(good, "1") + "0"}, nil, false, false, ""},
		"a later version":             {[]string{"cc" + good[2:] + "-what-the-future-will-be-like"}, nil, true, true, ""},
		"a version that is forbidden": {[]string{"ff" + good[2:]}, nil, false, true, ""},
		"more than version 00 has":    {[]string{good + "-more"}, nil, false, true, ""},
		"two":                         {[]string{good, good}, nil, false, true, ""},
		"an empty one":                {[]string{""}, nil, false, true, ""},
		"upper case":                  {[]string{strings.ToUpper(good)}, nil, false, true, ""},
		"no trace":                    {[]string{"00-00000000000000000000000000000000-b7ad6b7169203331-01"}, nil, false, true, ""},
		"no span":                     {[]string{"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"}, nil, false, true, ""},
		"bytes":                       {[]string{"\xff\x00-\r\n"}, nil, false, true, ""},
		"too long":                    {[]string{"cc" + good[2:] + "-" + strings.Repeat("a", 10_000)}, nil, false, true, ""},
	} {
		for _, ratio := range []float64{0, 1} {
			r := &recorder{}
			h := http.Header{}
			if c.parent != nil {
				h["Traceparent"] = c.parent
			}
			if c.state != nil {
				h["Tracestate"] = c.state
			}
			ctx, span := New(provider{r}, ratio).Serve(t.Context(), "HTTP", h)
			span.End()
			if want := c.continues || c.traced && ratio == 1; span.Recording() != want || Sampled(ctx) != want {
				t.Errorf("%s, ratio %v: it is traced: %v, want %v", name, ratio, span.Recording(), want)
				continue
			}
			if c.continues && (ID(ctx) != goodID || r.spans[0].parent.SpanID().String() != goodPar || !r.spans[0].parent.IsRemote()) {
				t.Errorf("%s: the trace is %s below %s", name, ID(ctx), r.spans[0].parent.SpanID())
			}
			if c.continues && r.spans[0].self.TraceState().String() != c.wantState {
				t.Errorf("%s: the state is %q, want %q", name, r.spans[0].self.TraceState(), c.wantState)
			}
			if !c.continues && len(r.spans) > 0 && r.spans[0].parent.IsValid() {
				t.Errorf("%s: it continues %v", name, r.spans[0].parent)
			}
		}
	}
}

// TestBounded: no more traces begin in a second than the bound, whatever clients ask for.
func TestBounded(t *testing.T) {
	tracer := New(provider{&recorder{}}, 0)
	h := http.Header{"Traceparent": {good}}
	traced := 0
	began := time.Now()
	for range 3 * PerSecond {
		if _, span := tracer.Serve(t.Context(), "HTTP", h); span.Recording() {
			traced++
		}
	}
	if most := PerSecond * (2 + int(time.Since(began)/time.Second)); traced > most {
		t.Errorf("%d of %d requests are traced within %v", traced, 3*PerSecond, time.Since(began))
	}
}

// TestSpans: spans begin below that of their context, by the provider of that, and work that outlives a request is in its trace.
func TestSpans(t *testing.T) {
	r := &recorder{}
	ctx, root := New(provider{r}, 1).Serve(t.Context(), "HTTP", nil)
	below, span := Start(ctx, "below", Internal)
	span.Set(Node, "n1")
	span.SetInt(Holders, 3)
	span.Fail("unavailable")
	span.Name("renamed")
	at := time.Unix(1000, 0)
	Past(below, "past", at).EndAt(at.Add(time.Second))
	span.End()
	if _, after := Start(below, "after its end", Internal); after.Recording() {
		t.Error("a span that has ended has one below it")
	}
	flight, cancel := context.WithCancel(Carry(context.Background(), ctx))
	defer cancel()
	_, other := Start(flight, "flight", Internal)
	other.End()
	root.End()
	if len(r.spans) != 4 {
		t.Fatalf("%d spans", len(r.spans))
	}
	parents := []oteltrace.SpanID{{}, r.spans[0].self.SpanID(), r.spans[1].self.SpanID(), r.spans[0].self.SpanID()}
	for i, s := range r.spans {
		if s.parent.SpanID() != parents[i] || s.self.TraceID() != r.spans[0].self.TraceID() || s.ended.IsZero() {
			t.Errorf("span %q: %+v", s.name, s)
		}
	}
	if s := r.spans[1]; s.name != "renamed" || !s.failed || len(s.attributes) != 3 {
		t.Errorf("the span is %+v", s)
	}
	if s := r.spans[2]; !s.began.Equal(at) || !s.ended.Equal(at.Add(time.Second)) {
		t.Errorf("the span in the past is of %v to %v", s.began, s.ended)
	}
}

// TestRemote: what one node writes for another is read as what it was, and nothing else is read.
func TestRemote(t *testing.T) {
	r := &recorder{}
	ctx, span := New(provider{r}, 0).Serve(t.Context(), "HTTP", http.Header{"Traceparent": {good}, "Tracestate": {"a=b"}})
	defer span.End()
	b := Bytes(ctx)
	if len(b) != remoteBytes {
		t.Fatalf("%d bytes", len(b))
	}
	parent, state := Text(ctx)
	for how, from := range map[string]Remote{"bytes": ParseRemote(b), "text": ParseText(parent, state)} {
		if !from.Sampled() {
			t.Errorf("%s: nothing is read", how)
		}
		at := &recorder{}
		_, there := New(provider{at}, 0).Continue(t.Context(), "there", Server, from)
		there.End()
		if s := at.spans[0]; s.self.TraceID().String() != goodID || s.parent.SpanID() != r.spans[0].self.SpanID() || how == "text" && s.self.TraceState().String() != "a=b" {
			t.Errorf("%s: it is continued as %+v", how, s)
		}
	}
	zero := make([]byte, remoteBytes)
	zero[24] = 1
	unsampled := append([]byte{}, b...)
	unsampled[24] = 0
	for _, bad := range [][]byte{nil, {}, b[:24], append(append([]byte{}, b...), 0), zero, unsampled} {
		if ParseRemote(bad).Sampled() {
			t.Errorf("%x is read", bad)
		}
	}
	at := &recorder{}
	if _, span := New(provider{at}, 1).Continue(t.Context(), "there", Server, Remote{}); span.Recording() || len(at.spans) != 0 {
		t.Error("nothing is continued")
	}
}

// TestOffCostsNothing: without a trace nothing is allocated.
func TestOffCostsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := http.Header{"Traceparent": {good}}
	var off *Tracer
	if n := testing.AllocsPerRun(100, func() {
		ctx, span := off.Serve(ctx, "HTTP", h)
		ctx, below := Start(ctx, "below", Client)
		below.Set(Node, "n1")
		below.SetInt(Holders, 1)
		below.Fail("unavailable")
		Past(ctx, "past", time.Time{}).EndAt(time.Time{})
		if Bytes(ctx) != nil || Sampled(ctx) || ID(ctx) != "" {
			t.Error("there is a trace")
		}
		below.End()
		span.End()
		_, gone := off.Continue(ctx, "there", Server, Remote{})
		gone.End()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkOff measures what a room's span costs in a request that is not traced.
func BenchmarkOff(b *testing.B) {
	ctx, cancel := context.WithCancel(context.WithValue(b.Context(), http.ServerContextKey, 1))
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		_, span := Start(ctx, "below", Internal)
		span.End()
	}
}

// FuzzHeaders: no headers of a client make a trace that is not one.
func FuzzHeaders(f *testing.F) {
	f.Add(good, "a=b", "")
	f.Add("cc"+good[2:]+"-x", "a=b,c=d", "e=f")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, parent, one, two string) {
		c := parentOf(http.Header{"Traceparent": {parent}, "Tracestate": {one, two}})
		if !c.IsValid() {
			return
		}
		if len(parent) > maxParent || !strings.Contains(parent, c.TraceID().String()) || !strings.Contains(parent, c.SpanID().String()) {
			t.Errorf("%q is read as %s %s", parent, c.TraceID(), c.SpanID())
		}
		if len(c.TraceState().String()) > maxState {
			t.Errorf("a state of %d bytes", len(c.TraceState().String()))
		}
	})
}

// FuzzRemote: no bytes of a node make a trace that is not one.
func FuzzRemote(f *testing.F) {
	f.Add([]byte{})
	f.Add(append([]byte(strings.Repeat("x", 24)), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r := ParseRemote(b); r.Sampled() && (len(b) != remoteBytes || !r.of.IsValid() || !r.of.IsRemote()) {
			t.Errorf("%x is read", b)
		}
	})
}
