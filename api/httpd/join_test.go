package httpd

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// joining is what a node answers to nodes that join.
type joining struct {
	asked *api.JoinRequest
	spec  *api.JoinTokenSpec
	err   error
}

func (d *joining) Join(_ context.Context, q *api.JoinRequest) (*api.JoinAnswer, error) {
	d.asked = q
	return &api.JoinAnswer{ClusterID: "c", Num: 3}, d.err
}

func (d *joining) CreateJoinToken(_ context.Context, s api.JoinTokenSpec) (*api.NewJoinToken, error) {
	d.spec = &s
	return &api.NewJoinToken{JoinToken: api.JoinToken{ID: "0a"}, Token: "ehj1_x"}, d.err
}

func (d *joining) JoinTokens(context.Context) ([]api.JoinToken, error) {
	return []api.JoinToken{{ID: "0a", Role: "edge", Uses: -1}}, d.err
}

func (d *joining) RevokeJoinToken(_ context.Context, id string) error {
	if id != "0a" {
		return api.Errorf(api.CodeNotFound, "there is no join token %q", id)
	}
	return d.err
}

// TestJoinBodies: what is no request to join is refused before the cluster is asked, within its bound. Attack 21.
func TestJoinBodies(t *testing.T) {
	d := new(joining)
	h := New(front.New(front.Config{Store: storetest.NewMemory(), JoinTokens: d, Joiner: d}), Config{})
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/v1/join", `{"token":"ehj1_x","csr":"AAAA","node":"n","region":"r","role":"server","advertise":"h:1","level":3}`, 200, `"num":3`},
		{"POST", "/v1/join", "", 400, "not the JSON"},
		{"POST", "/v1/join", `{"token":"a"} {}`, 400, "goes on after"},
		{"POST", "/v1/join", `{"king":true}`, 400, "not the JSON"},
		{"POST", "/v1/join", `{"csr":"***"}`, 400, "not the JSON"},
		{"POST", "/v1/join", `{"token":"` + strings.Repeat("x", 17<<10) + `"}`, 413, "request to join of"},
		{"GET", "/v1/join", "", 405, "POST"},
		{"POST", "/v1/cluster/tokens", `{"role":"edge","ttl":"1h","uses":-1}`, 200, `"token":"ehj1_x"`},
		{"POST", "/v1/cluster/tokens", `{"role":"edge","ttl":"soon"}`, 400, "is not a time"},
		{"POST", "/v1/cluster/tokens", `{"role":"edge","ttl":"-1h"}`, 400, "is not a time"},
		{"POST", "/v1/cluster/tokens", `{"king":true}`, 400, "not the JSON"},
		{"GET", "/v1/cluster/tokens", "", 200, `{"tokens":[{"id":"0a","role":"edge","uses":-1}]}`},
		{"DELETE", "/v1/cluster/tokens/0a", "", 204, ""},
		{"DELETE", "/v1/cluster/tokens/0b", "", 404, "no join token"},
	} {
		d.asked = nil
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s %.60s: %d %s", c.method, c.path, c.body, w.Code, w.Body)
		}
		if (d.asked != nil) != (c.path == "/v1/join" && c.status == 200) {
			t.Errorf("%s %.60s: the cluster is asked, or not: %v", c.path, c.body, d.asked)
		}
	}
	if d.spec.TTL != time.Hour || d.spec.Uses != api.UnlimitedUses || d.spec.Role != "edge" {
		t.Errorf("the spec is %+v", d.spec)
	}
	bare := New(front.New(front.Config{Store: storetest.NewMemory()}), Config{})
	for _, path := range []string{"/v1/join", "/v1/cluster/tokens"} {
		w := httptest.NewRecorder()
		bare.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader("{}")))
		if w.Code != http.StatusNotFound {
			t.Errorf("%s without what answers: %d", path, w.Code)
		}
	}
}
