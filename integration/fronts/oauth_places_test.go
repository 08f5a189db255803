package fronts

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/workerskv"
	"github.com/edgehold/edgehold/integration/clients"
)

// place is one edge and the application that runs there: a workerd with the OAuth provider, whose KV binding asks the edge through
// the place, which notes what is asked.
type place struct {
	region api.RegionID
	edge   string // the URL of Edgehold's edge
	app    string // the URL of the application

	mu     sync.Mutex
	copies bool      // guarded by mu: the namespace is a copy of this place's own, and what others write arrives later
	late   []kvWrite // guarded by mu: what has not arrived
	other  *place
	served string // guarded by mu: who has answered the last read: lease, owner or stale
}

// kvWrite is a put or a delete.
type kvWrite struct {
	method, uri string
	header      http.Header
	body        []byte
}

// newPlace starts the application at an edge.
func newPlace(t testing.TB, region api.RegionID, edge string) *place {
	t.Helper()
	p := &place{region: region, edge: edge}
	between := httptest.NewServer(p)
	t.Cleanup(between.Close)
	provider := filepath.Join(clients.NeedPackage(t, "@cloudflare/workers-oauth-provider"), "dist", "oauth-provider.js")
	p.app = serve(t, worker{
		modules:  []string{"oauth.mjs", "@cloudflare/workers-oauth-provider=" + provider},
		bindings: []string{`(name = "OAUTH_KV", kvNamespace = "kv")`, fmt.Sprintf(`(name = "EDGE", text = %q)`, region)},
		services: []string{kvService("kv", between.URL, "oauth")},
		sockets:  `(name = "http", http = (forwardedProtoHeader = "X-Forwarded-Proto"), service = "main")`,
	}.configure(t))
	return p
}

// ServeHTTP asks the edge what the binding asks.
func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	q := kvWrite{r.Method, r.RequestURI, r.Header.Clone(), body}
	p.mu.Lock()
	copies := p.copies
	p.mu.Unlock()
	res, err := p.ask(r.Context(), q, copies)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = res.Body.Close() }() // copied below
	p.note(res)
	if copies && (r.Method == http.MethodPut || r.Method == http.MethodDelete) {
		p.other.mu.Lock()
		p.other.late = append(p.other.late, q)
		p.other.mu.Unlock()
	}
	maps.Copy(w.Header(), res.Header)
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body) // the binding notices what is missing
}

func (p *place) ask(ctx context.Context, q kvWrite, copies bool) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, q.method, p.edge+q.uri, bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	r.Header = q.header.Clone()
	if copies {
		r.Header.Set(workerskv.NamespaceHeader, "oauth-"+string(p.region))
	}
	return http.DefaultClient.Do(r)
}

func (p *place) note(res *http.Response) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if by := res.Header.Get("Edgehold-Served-By"); by != "" {
		p.served = by
	}
}

// servedBy returns who has answered the last read.
func (p *place) servedBy() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served
}

// keepCopies gives the place a copy of its own from now on.
func (p *place) keepCopies() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.copies = true
}

// arrive makes visible what the other place has written until now.
func (p *place) arrive(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	late := p.late
	p.late = nil
	p.mu.Unlock()
	for _, q := range late {
		res, err := p.ask(t.Context(), q, true)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close() // empty
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s %s arrives: %s", q.method, q.uri, res.Status)
		}
	}
}
