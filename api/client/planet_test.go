package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// planet is an HTTP transport to nodes that are functions in memory, so that time can be virtual.
type planet struct {
	mu    sync.Mutex
	nodes map[string]http.RoundTripper
	asked []string // hosts, in order
	ids   []string // Idempotency-Keys, in order
}

type node func(*http.Request) (*http.Response, error)

func (n node) RoundTrip(r *http.Request) (*http.Response, error) { return n(r) }

func (p *planet) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.asked = append(p.asked, r.URL.Host)
	p.ids = append(p.ids, r.Header.Get("Idempotency-Key"))
	n := p.nodes[r.URL.Host]
	p.mu.Unlock()
	return n.RoundTrip(r)
}

func (p *planet) set(host string, n node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes[host] = n
}

// took returns the hosts that were asked since the last call of took.
func (p *planet) took() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := strings.Join(p.asked, " ")
	p.asked = nil
	return s
}

// of returns a node that serves h.
func of(h http.Handler) node {
	return func(r *http.Request) (*http.Response, error) {
		in := r.Clone(r.Context())
		in.RequestURI = r.URL.RequestURI()
		if in.Body == nil {
			in.Body = http.NoBody
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, in)
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		return w.Result(), nil
	}
}

// refused is a node whose port refuses connections.
func refused(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
}

// silent receives the request and never answers.
func silent(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// losesAnswers carries requests out and then breaks the connection.
func losesAnswers(h http.Handler) node {
	return func(r *http.Request) (*http.Response, error) {
		if res, err := of(h)(r); err != nil {
			return res, err
		}
		return nil, io.ErrUnexpectedEOF
	}
}

// says returns a node that answers with a problem.
func says(code api.Code) node {
	return of(httpd.New(front.New(front.Config{Store: failing(code)}), httpd.Config{}))
}

type failing api.Code

func (f failing) Read(context.Context, *api.ReadRequest, *api.ReadResult) error {
	return api.Code(f)
}
func (f failing) Do(context.Context, *api.Txn) (*api.TxnResult, error) { return nil, api.Code(f) }

// onPlanet runs f in virtual time with a Client of the nodes near, mid and far, which all serve one Store.
func onPlanet(t *testing.T, f func(t *testing.T, c *Client, p *planet, h http.Handler)) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory()
		h := httpd.New(front.New(front.Config{Store: m, Lister: m}), httpd.Config{})
		p := &planet{nodes: map[string]http.RoundTripper{"near": of(h), "mid": of(h), "far": of(h)}}
		c, err := Open(t.Context(), Config{Endpoints: []string{"http://near", "http://mid", "http://far"}, HTTPClient: &http.Client{Transport: p}})
		if err != nil {
			t.Fatal(err)
		}
		f(t, c, p, h)
	})
}
