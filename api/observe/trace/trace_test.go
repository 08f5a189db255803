package trace

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/edgehold/edgehold/api/observe/trace/tracetest"
)

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
			r := &tracetest.Recorder{}
			h := http.Header{}
			if c.parent != nil {
				h["Traceparent"] = c.parent
			}
			if c.state != nil {
				h["Tracestate"] = c.state
			}
			ctx, span := New(r, ratio).Serve(t.Context(), "HTTP", h)
			span.End()
			if want := c.continues || c.traced && ratio == 1; span.Recording() != want || Sampled(ctx) != want {
				t.Errorf("%s, ratio %v: it is traced: %v, want %v", name, ratio, span.Recording(), want)
				continue
			}
			if c.continues && (ID(ctx) != goodID || r.Spans()[0].Parent.SpanID().String() != goodPar || !r.Spans()[0].Parent.IsRemote()) {
				t.Errorf("%s: the trace is %s below %s", name, ID(ctx), r.Spans()[0].Parent.SpanID())
			}
			if c.continues && r.Spans()[0].Self.TraceState().String() != c.wantState {
				t.Errorf("%s: the state is %q, want %q", name, r.Spans()[0].Self.TraceState(), c.wantState)
			}
			if !c.continues && len(r.Spans()) > 0 && r.Spans()[0].Parent.IsValid() {
				t.Errorf("%s: it continues %v", name, r.Spans()[0].Parent)
			}
		}
	}
}

// TestBounded: no more traces begin in a second than the bound, whatever clients ask for.
func TestBounded(t *testing.T) {
	tracer := New(&tracetest.Recorder{}, 0)
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
	r := &tracetest.Recorder{}
	ctx, root := New(r, 1).Serve(t.Context(), "HTTP", nil)
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
	if len(r.Spans()) != 4 {
		t.Fatalf("%d spans", len(r.Spans()))
	}
	parents := []oteltrace.SpanID{{}, r.Spans()[0].Self.SpanID(), r.Spans()[1].Self.SpanID(), r.Spans()[0].Self.SpanID()}
	for i, s := range r.Spans() {
		if s.Parent.SpanID() != parents[i] || s.Self.TraceID() != r.Spans()[0].Self.TraceID() || s.Ended.IsZero() {
			t.Errorf("span %q: %+v", s.Name, s)
		}
	}
	if s := r.Spans()[1]; s.Name != "renamed" || !s.Failed || len(s.Attributes) != 3 {
		t.Errorf("the span is %+v", s)
	}
	if s := r.Spans()[2]; !s.Began.Equal(at) || !s.Ended.Equal(at.Add(time.Second)) {
		t.Errorf("the span in the past is of %v to %v", s.Began, s.Ended)
	}
}

// TestRemote: what one node writes for another is read as what it was, and nothing else is read.
func TestRemote(t *testing.T) {
	r := &tracetest.Recorder{}
	ctx, span := New(r, 0).Serve(t.Context(), "HTTP", http.Header{"Traceparent": {good}, "Tracestate": {"a=b"}})
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
		at := &tracetest.Recorder{}
		_, there := New(at, 0).Continue(t.Context(), "there", Server, from)
		there.End()
		if s := at.Spans()[0]; s.Self.TraceID().String() != goodID || s.Parent.SpanID() != r.Spans()[0].Self.SpanID() || how == "text" && s.Self.TraceState().String() != "a=b" {
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
	at := &tracetest.Recorder{}
	if _, span := New(at, 1).Continue(t.Context(), "there", Server, Remote{}); span.Recording() || len(at.Spans()) != 0 {
		t.Error("nothing is continued")
	}
}

// TestForward: a node that makes no spans passes the span of a client or of another node on, in each form and with work that outlives the
// request; a span that is not sampled, and none, it does not.
func TestForward(t *testing.T) {
	tracer := Forward()
	sent := func(ctx context.Context) string {
		h := http.Header{}
		Headers(ctx, h)
		parent, state := Text(ctx)
		if got := h.Get("Traceparent"); got != parent || h.Get("Tracestate") != state {
			t.Errorf("the headers have %q, the text is %q %q", h, parent, state)
		}
		if of := ParseRemote(Bytes(ctx)); of.Sampled() != (parent != "") || of.Sampled() && of.of.SpanID().String() != goodPar {
			t.Errorf("the bytes name %v, the text is %q", of, parent)
		}
		return parent + state
	}
	for name, c := range map[string]struct {
		parent, state []string
		want          string
	}{
		"sampled":     {[]string{good}, []string{"a=b"}, good + "a=b"},
		"not sampled": {[]string{strings.TrimSuffix(good, "1") + "0"}, nil, ""},
		"nothing":     {nil, nil, ""},
		"garbage":     {[]string{"x"}, nil, ""},
	} {
		ctx, span := tracer.Serve(t.Context(), "HTTP", http.Header{"Traceparent": c.parent, "Tracestate": c.state})
		if span.Recording() {
			t.Errorf("%s: there is a span", name)
		}
		below, span := Start(ctx, "below", Client)
		Past(ctx, "past", time.Now()).EndAt(time.Now())
		if got := sent(Carry(context.Background(), below)); got != c.want || span.Recording() || (ID(ctx) != "") != (c.want != "") {
			t.Errorf("%s: %q is passed on, want %q", name, got, c.want)
		}
		ctx, span = tracer.Continue(t.Context(), "there", Server, ParseText(Text(ctx)))
		if got := sent(ctx); got != c.want || span.Recording() {
			t.Errorf("%s: %q is passed on by the next node, want %q", name, got, c.want)
		}
	}
}

// TestForwardIsBounded: a node passes on no more traces in a second than the bound, since they take a dearer way.
func TestForwardIsBounded(t *testing.T) {
	tracer, passed, began := Forward(), 0, time.Now()
	for range 3 * PerSecond {
		if ctx, _ := tracer.Serve(t.Context(), "HTTP", http.Header{"Traceparent": {good}}); Sampled(ctx) {
			passed++
		}
	}
	if most := PerSecond * (2 + int(time.Since(began)/time.Second)); passed > most || passed < PerSecond {
		t.Errorf("%d of %d traces are passed on within %v", passed, 3*PerSecond, time.Since(began))
	}
}

// TestOffCostsNothing: without a trace nothing is allocated, at a node that never traces and at one that passes traces on.
func TestOffCostsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, c := range map[string]struct {
		off *Tracer
		h   http.Header
	}{"never": {nil, http.Header{"Traceparent": {good}}}, "forward": {Forward(), http.Header{"Accept": {"*/*"}}}} {
		if n := testing.AllocsPerRun(100, func() { untraced(ctx, t, c.off, c.h) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// untraced is what a request that is not traced passes through.
func untraced(ctx context.Context, t *testing.T, off *Tracer, h http.Header) {
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
}

// BenchmarkForward measures what a node without a collector does for a request that is not traced, where it comes in.
func BenchmarkForward(b *testing.B) {
	tracer, ctx, h := Forward(), b.Context(), http.Header{"Accept": {"*/*"}, "User-Agent": {"x"}}
	b.ReportAllocs()
	for b.Loop() {
		_, span := tracer.Serve(ctx, "HTTP", h)
		span.End()
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
