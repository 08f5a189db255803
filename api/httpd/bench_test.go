package httpd_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/observe/slow"
	"github.com/edgehold/edgehold/api/observe/trace"
)

// benchmarkHTTP measures GETs over loopback on warm connections, one for each of GOMAXPROCS clients, which send a
// ready-made request and do not look at the answer: what is measured is mostly the server.
func benchmarkHTTP(b *testing.B, h http.Handler, path string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := httpd.Serve(l, httpd.ServerConfig{Handler: h})
	defer func() { _ = s.Close(time.Second) }()
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\n\r\n", path, l.Addr())
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		size := answerSize(b, c, request)
		for in := bufio.NewReader(c); pb.Next(); {
			if _, err := c.Write(request); err != nil {
				b.Error(err)
				return
			}
			if _, err := in.Discard(size); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// answerSize asks once and returns the size of an answer in bytes, which all answers have.
func answerSize(b *testing.B, c net.Conn, request []byte) int {
	if _, err := c.Write(request); err != nil {
		b.Error(err)
		return 0
	}
	answer := make([]byte, 4096)
	n, err := c.Read(answer) // small, it comes in one piece
	if err != nil || n < valueBytes || string(answer[:12]) != "HTTP/1.1 200" {
		b.Errorf("answer %q, %v", answer[:n], err)
	}
	return n
}

const valueBytes = 256

// leased is a Store that has everything at hand.
type leased struct {
	fake
	value []byte
}

func newLeased() *leased { return &leased{value: make([]byte, valueBytes)} }

// ReadInto allocates nothing, as an edge.
func (s *leased) Read(_ context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	e := api.Entry{Key: r.Keys[0], Value: s.value, Version: api.Version{Epoch: 3, Index: 123456}, Exists: true}
	*out = api.ReadResult{Entries: append(out.Entries[:0], e), ServedBy: api.ServedByLease, Group: "us-east.1"}
	return nil
}

// asNode is what a node gives its fronts that a request could pay for: it remembers slow requests and counts keys, and passes
// traces on.
func asNode(s api.Store) front.Config {
	return front.Config{Store: s, Node: "us-east-edge-1", SlowLog: slow.NewLog(), HotKeys: slow.NewHot(), Tracer: trace.Forward()}
}

// TestNothingMoreIsAllocated: a node that remembers slow requests, counts keys and passes traces on allocates nothing for a leased read and
// for a put beyond what one does that can do none of it.
func TestNothingMoreIsAllocated(t *testing.T) {
	ask := func(c front.Config, method string) float64 {
		h := httpd.New(front.New(c), httpd.Config{})
		r, err := http.NewRequestWithContext(t.Context(), method, "/v1/kv/us-east/users/42", nil)
		if err != nil {
			t.Fatal(err)
		}
		w := &nowhere{header: http.Header{}}
		return testing.AllocsPerRun(2000, func() {
			clear(w.header)
			h.ServeHTTP(w, r)
		})
	}
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		bare, node := ask(front.Config{Store: newLeased(), Node: "us-east-edge-1"}, method), ask(asNode(newLeased()), method)
		if node > bare {
			t.Errorf("%s allocates %v times, and %v without slow requests, hot keys and traces", method, node, bare)
		}
	}
}

// BenchmarkGet is a leased read over HTTP; BenchmarkBareHandler, over the same connections, is what net/http alone costs.
func BenchmarkGet(b *testing.B) {
	benchmarkHTTP(b, httpd.New(front.New(asNode(newLeased())), httpd.Config{}), "/v1/kv/us-east/users/42")
}

func BenchmarkBareHandler(b *testing.B) {
	value := make([]byte, valueBytes)
	kind, length := []string{"application/octet-stream"}, []string{strconv.Itoa(valueBytes)}
	benchmarkHTTP(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Content-Type"], h["Content-Length"] = kind, length
		_, _ = w.Write(value)
	}), "/")
}

// nowhere is a ResponseWriter that forgets.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n *nowhere) WriteHeader(int)             {}

// BenchmarkHandler is the API's own part of a leased read, without connections.
func BenchmarkHandler(b *testing.B) {
	h := httpd.New(front.New(asNode(newLeased())), httpd.Config{})
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "/v1/kv/us-east/users/42", nil)
	if err != nil {
		b.Fatal(err)
	}
	w := &nowhere{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}
