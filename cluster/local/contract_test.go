package local_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api/httpd/contract"
	"github.com/edgehold/edgehold/cluster/local"
)

// testContract sends every example of the document that a node answers with, and holds the answers against the document. A plain planet has no
// join tokens; package httpd sends those.
func testContract(t *testing.T, p *local.DevPlanet) {
	base := p.Nodes()[0].URL
	x := exchange(t, base, &contract.Example{Method: http.MethodGet, Target: "/openapi.json"})
	d, err := contract.Parse(x.Answer)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range p.Nodes() { // an edge has fewer routes, and says so
		if _, err := contract.Parse(exchange(t, n.URL, &contract.Example{Method: http.MethodGet, Target: "/openapi.json"}).Answer); err != nil {
			t.Errorf("%s: %v", n.Node, err)
		}
	}
	exchange(t, base, &contract.Example{Method: http.MethodPut, Target: "/v1/kv/us-east/alice", Body: "hello"})
	operations := slices.Clone(d.Operations())
	slices.SortStableFunc(operations, func(a, b *contract.Operation) int { return rank[a.Method] - rank[b.Method] })
	seen := map[string]bool{}
	for _, o := range operations {
		if strings.Contains(strings.ToLower(o.ID), "join") {
			continue
		}
		for _, e := range o.Examples() {
			x := exchange(t, base, e)
			seen[o.ID] = true
			if err := d.Check(x); err != nil {
				t.Error(err)
			}
			if err := e.Like(x.Status, x.Answer); err != nil && e.Method != http.MethodHead {
				t.Error(err)
			}
		}
		if !seen[o.ID] {
			t.Errorf("%s has no example", o.ID)
		}
	}
}

// rank orders operations by their methods, so that what an example reads was written, and is deleted last.
var rank = map[string]int{http.MethodPut: 1, http.MethodPost: 2, http.MethodGet: 3, http.MethodHead: 3, http.MethodDelete: 4}

// exchange sends an example.
func exchange(t *testing.T, base string, e *contract.Example) *contract.Exchange {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, e.Method, base+e.Target, strings.NewReader(e.Body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range e.Header {
		r.Header.Set(name, value)
	}
	if r.Header.Get("Upgrade") != "" {
		r.Header.Set("Connection", "Upgrade")
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &contract.Exchange{
		Method: e.Method, URL: r.URL, Header: r.Header, Body: []byte(e.Body), Status: res.StatusCode, AnswerHeader: res.Header, Answer: body,
	}
}
