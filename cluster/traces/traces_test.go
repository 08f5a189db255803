package traces

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
)

// seen is what a node measures and logs of its traces.
type seen struct {
	observe.NoMetrics
	mu    sync.Mutex
	spans map[string]float64
	lines []string
}

func (s *seen) Counter(string, string, ...string) func(float64, ...string) {
	return func(n float64, values ...string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.spans[values[0]] += n
	}
}

func (s *seen) log(msg string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, msg+fmt.Sprint(args...))
}

// await waits until so many spans have come to that result.
func (s *seen) await(t *testing.T, result string, n float64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		got := s.spans[result]
		s.mu.Unlock()
		if got >= n {
			return
		}
	}
	t.Fatalf("%v spans are %s", s.spans[result], result)
}

func open(t *testing.T, url string) (*Traces, *seen) {
	s := &seen{spans: map[string]float64{}}
	x, err := Open(Config{URL: url, Ratio: 1, Node: "n1", Region: "us", Metrics: s, Log: s.log})
	if err != nil {
		t.Fatal(err)
	}
	return x, s
}

// span makes one span. It must not wait for anything.
func (t *Traces) span(ctx *testing.T) {
	_, s := t.Serve(ctx.Context(), "HTTP", nil)
	s.End()
}

// TestCollectorDown: while the collector fails nothing waits for it; spans are counted and dropped, and the log has one line when it
// begins and one when it ends.
func TestCollectorDown(t *testing.T) {
	var up atomic.Bool
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer collector.Close()
	x, s := open(t, collector.URL)
	for i := range 2 {
		x.span(t)
		if err := x.provider.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.await(t, "failed", float64(i+1))
	}
	up.Store(true)
	x.span(t)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	s.await(t, "sent", 1)
	if len(s.lines) != 2 || !strings.Contains(s.lines[0], "cannot be sent") || !strings.Contains(s.lines[1], "again") {
		t.Errorf("the log has %q", s.lines)
	}
	if s.spans["ended"] != 3 || s.spans["failed"] != 2 || s.spans["sent"] != 1 {
		t.Errorf("it counts %v", s.spans)
	}
}

// TestCollectorHangs: a collector that takes connections and never answers keeps no request waiting, at most MaxQueue spans and what is
// on its way in memory, and the closing of the node for no longer than about a second.
func TestCollectorHangs(t *testing.T) {
	hangs := make(chan struct{})
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hangs:
		case <-r.Context().Done():
		}
	}))
	defer collector.Close()
	defer close(hangs)
	x, s := open(t, collector.URL)
	const spans = 1000 // no more are let in within a second
	for range spans {
		x.span(t)
	}
	s.await(t, "ended", 1)
	done := make(chan error)
	go func() { done <- x.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the node waits for its collector")
	}
	if n := s.spans["sent"]; n != 0 {
		t.Errorf("%v spans are sent to a collector that does not answer", n)
	}
}

// TestCheck: what is no URL of a collector, or no part of the requests, is refused with what to give instead.
func TestCheck(t *testing.T) {
	withUser := fmt.Sprintf("http://%s:%s@a", "user", "secret")
	for url, want := range map[string]string{
		"": "", "http://127.0.0.1:4318": "", "https://collector.example/custom/path": "",
		"127.0.0.1:4318": "--otlp needs", "grpc://a:1": "--otlp needs", "http://": "--otlp needs", withUser: "OTEL_EXPORTER_OTLP_HEADERS",
	} {
		err := Check(url, DefaultRatio)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || api.CodeOf(err) != api.CodeInvalid) {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
	}
	for _, ratio := range []float64{-0.1, 1.1, func() float64 { z := 0.0; return z / z }()} {
		if err := Check("", ratio); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("a ratio of %v: %v", ratio, err)
		}
	}
}

// TestPath: a URL without a path is sent to where OTLP is, and one with a path to that.
func TestPath(t *testing.T) {
	for path, want := range map[string]string{"": "/v1/traces", "/": "/v1/traces", "/custom": "/custom"} {
		got := make(chan string, 16)
		collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.URL.Path }))
		x, _ := open(t, collector.URL+path)
		x.span(t)
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		collector.Close()
		if g := <-got; g != want {
			t.Errorf("spans for %q are sent to %s, want %s", path, g, want)
		}
	}
}

// TestCloseClosesConnections: after Close there is no connection to the collector, which would keep goroutines.
func TestCloseClosesConnections(t *testing.T) {
	closed := make(chan struct{}, 16)
	collector := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	collector.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}
	collector.Start()
	defer collector.Close()
	x, s := open(t, collector.URL)
	x.span(t)
	if err := x.provider.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.await(t, "sent", 1)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-time.After(30 * time.Second): // less than the time that an idle connection is kept
		t.Error("the connection to the collector stays open")
	}
}

// TestPanicIsNotSent: the span of a request that panics ends, and has nothing of what the panic says, which may be a key.
func TestPanicIsNotSent(t *testing.T) {
	var sent atomic.Pointer[[]byte]
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err == nil {
			sent.Store(&b)
		}
	}))
	defer collector.Close()
	x, _ := open(t, collector.URL)
	func() {
		defer func() { _ = recover() }()
		_, s := x.Serve(t.Context(), "HTTP", nil)
		defer s.End()
		panic("a-secret-key")
	}()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if b := sent.Load(); b == nil || !bytes.Contains(*b, []byte("HTTP")) || bytes.Contains(*b, []byte("secret")) || bytes.Contains(*b, []byte("exception")) {
		t.Errorf("what is sent is %q", b)
	}
}

// TestLongErrorIsCut: the log has no more of what a collector answers than is promised.
func TestLongErrorIsCut(t *testing.T) {
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<16))
	}))
	defer collector.Close()
	x, s := open(t, collector.URL)
	x.span(t)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if len(s.lines) != 1 || len(s.lines[0]) > 2*maxError {
		t.Errorf("%d lines, the first of %d bytes", len(s.lines), len(s.lines[0]))
	}
}
