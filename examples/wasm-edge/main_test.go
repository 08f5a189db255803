package main

import (
	"context"
	_ "embed"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster/local"
)

// handlerWasm is handler.wat, as wat2wasm makes it; a test of integration/fronts holds that.
//
//go:embed handler.wasm
var handlerWasm []byte

// visit asks the runtime as a visitor does.
func visit(r http.Handler, method, path string) (status int, body string) {
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
	b, _ := io.ReadAll(w.Body) // of memory
	return w.Code, string(b)
}

// TestHandlers: two edge runtimes on different continents run what is deployed at one of them, answer from their own memory, and see each
// write of the other at once.
func TestHandlers(t *testing.T) {
	const far = 40 * time.Millisecond
	p := local.Dev(t, local.WithRegions("us-east", "ap-south"), local.WithRoundTrip(far), local.WithEdges(0))
	var runtimes []*Runtime
	for _, region := range []api.RegionID{"us-east", "ap-south"} {
		r, err := newRuntime(t.Context(), p.Edge(region).Client)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.wasm.Close(context.Background()) })
		runtimes = append(runtimes, r)
	}
	here, there := runtimes[0], runtimes[1]
	expect := func(r *Runtime, method, path string, status int, body string) {
		t.Helper()
		if s, b := visit(r, method, path); s != status || strings.TrimSpace(b) != body {
			t.Errorf("%s %s: %d %q, not %d %q", method, path, s, b, status, body)
		}
	}
	put := func(key api.Key, value []byte) {
		t.Helper()
		if _, err := here.store.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	expect(there, "GET", "/site/hello", 404, "no such handler")
	expect(there, "GET", "/", 404, "no such handler")
	put(handlers+"site", handlerWasm)
	expect(there, "GET", "/site/hello", 404, "no such page")
	put("us-east/pages/hello", []byte("hello from memory"))
	expect(there, "GET", "/site/hello", 200, "hello from memory")
	leased(t, there, far)
	for i, want := range []string{"1", "2", "3"} {
		expect(runtimes[i%2], "POST", "/site/hello", 200, want)
	}
	put("us-east/pages/hello", []byte("hello again"))
	expect(there, "GET", "/site/hello", 200, "hello again")
	put(handlers+"site", []byte("no module"))
	expect(there, "GET", "/site/hello", 502, "the handler failed")
	put(handlers+"site", thief())
	expect(there, "GET", "/site/secret", 503, "")
}

// thief is the handler, which asks for a key beside those that handlers may use.
func thief() []byte {
	return []byte(strings.Replace(string(handlerWasm), "us-east/pages/", "us-east/money/", 1))
}

// leased visits a page until the answer needs no other node, and checks that it was read under a lease.
func leased(t *testing.T, r *Runtime, far time.Duration) {
	t.Helper()
	var v client.Value
	for end := time.Now().Add(30 * time.Second); v.ServedBy != api.ServedByLease; {
		began := time.Now()
		if status, body := visit(r, "GET", "/site/hello"); status != 200 || time.Now().After(end) {
			t.Fatalf("%d %s", status, body)
		}
		if time.Since(began) > far {
			continue
		}
		var err error
		if v, err = r.store.Get(t.Context(), "us-east/pages/hello"); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkVisit: a visit that reads its handler and its page under leases and runs in an instance of its own.
func BenchmarkVisit(b *testing.B) {
	r, err := newRuntime(b.Context(), local.Dev(b, local.WithRegions("us-east"), local.WithEdges(0)).Edge("us-east").Client)
	if err != nil {
		b.Fatal(err)
	}
	for key, value := range map[api.Key][]byte{handlers + "site": handlerWasm, "us-east/pages/hello": []byte("hello")} {
		if _, err := r.store.Put(b.Context(), key, value); err != nil {
			b.Fatal(err)
		}
	}
	for range 100 {
		visit(r, "GET", "/site/hello")
	}
	for b.Loop() {
		if status, body := visit(r, "GET", "/site/hello"); status != 200 || body != "hello" {
			b.Fatal(status, body)
		}
	}
}
