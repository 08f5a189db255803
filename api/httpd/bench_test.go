package httpd_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/httpd"
)

// benchmarkHTTP measures GETs over loopback on warm connections, one for each of GOMAXPROCS clients.
func benchmarkHTTP(b *testing.B, h http.Handler, path string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := httpd.Serve(l, httpd.ServerConfig{Handler: h})
	defer func() { _ = s.Close(time.Second) }()
	url := "http://" + l.Addr().String() + path
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer c.CloseIdleConnections()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := c.Get(url) //nolint:noctx // a benchmark has all the time
			if err != nil {
				b.Error(err)
				return
			}
			if n, _ := io.Copy(io.Discard, r.Body); n != valueBytes || r.StatusCode != http.StatusOK {
				b.Errorf("status %d, %d bytes", r.StatusCode, n)
			}
			_ = r.Body.Close()
		}
	})
}

const valueBytes = 100

// leased is a Store that has everything at hand.
func leased() api.Store {
	value := make([]byte, valueBytes)
	return fake{read: func(_ context.Context, r *api.ReadRequest) (*api.ReadResult, error) {
		return &api.ReadResult{
			Entries:  []api.Entry{{Key: r.Keys[0], Value: value, Version: api.Version{Epoch: 3, Index: 123456}, Exists: true}},
			ServedBy: api.ServedByLease, Group: "us-east.1",
		}, nil
	}}
}

// BenchmarkGet is a leased read over HTTP; BenchmarkBareHandler, over the same connections, is what net/http alone costs.
func BenchmarkGet(b *testing.B) {
	benchmarkHTTP(b, httpd.New(httpd.Config{Store: leased(), Node: "us-east-edge-1"}), "/v1/kv/us-east/users/42")
}

func BenchmarkBareHandler(b *testing.B) {
	value := make([]byte, valueBytes)
	length := strconv.Itoa(valueBytes)
	benchmarkHTTP(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", length)
		w.Header().Set("Content-Type", "application/octet-stream")
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
	h := httpd.New(httpd.Config{Store: leased(), Node: "us-east-edge-1"})
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
