package cluster_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/local"
)

// TestConsulOfSeveralOwners: a node answers clients of Consul at a listener of its own, if one group has all their keys, and refuses every
// request else.
func TestConsulOfSeveralOwners(t *testing.T) {
	if testing.Short() {
		t.Skip("two planets say nothing about races")
	}
	for groups, want := range map[int]string{1: "200 true", 2: "500 the keys that begin with consul/ have several owners"} {
		p, err := local.Start(t.Context(), local.Config{Regions: []api.RegionID{"home"}, Replicas: 1, Edges: -1, Groups: groups, Port: -1, ConsulPort: -1, WAN: "off"})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(method, path string) string {
			r, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.Nodes()[0].Consul+path, strings.NewReader("v"))
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Error(err)
			}
			_ = res.Body.Close() // it has been read
			return res.Status[:3] + " " + string(body)
		}
		if got := ask(http.MethodPut, "/v1/kv/a"); !strings.HasPrefix(got, want) {
			t.Errorf("with %d groups it is answered %q", groups, got)
		}
		if groups == 1 {
			address := strings.TrimPrefix(p.Nodes()[0].URL, "http://")
			if leader, peers := ask(http.MethodGet, "/v1/status/leader"), ask(http.MethodGet, "/v1/status/peers"); leader != `200 "`+address+`"` || peers != `200 ["`+address+`"]` {
				t.Errorf("the leader is %s of %s, want %s", leader, peers, address)
			}
			if got := ask(http.MethodGet, "/v1/kv/?keys&dc=home"); got != `200 ["a"]` {
				t.Errorf("the keys are %s", got)
			}
			if got := ask(http.MethodGet, "/livez"); !strings.HasPrefix(got, "404") {
				t.Errorf("another path is answered %q", got)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
