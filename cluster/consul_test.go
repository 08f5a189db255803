package cluster_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/cluster/local"
)

// TestConsulOfSeveralOwners: a node answers clients of Consul at a listener of its own, if one group has all their keys, and refuses every
// request once it has not.
func TestConsulOfSeveralOwners(t *testing.T) {
	if testing.Short() {
		t.Skip("a planet says nothing about races")
	}
	t.Parallel()
	p := local.Dev(t, local.WithRegions("home", "away"), local.WithEdges(0), local.WithConsul())
	node := p.Nodes()[0]
	ask := func(method, url, body string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }() // it has been read
		answer, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.Status[:3] + " " + string(answer)
	}
	consul, address := "http://"+node.Consul, strings.TrimPrefix(node.URL, "http://")
	for _, c := range [][4]string{
		{http.MethodPut, "/v1/kv/a", "v", "200 true"},
		{http.MethodGet, "/v1/kv/?keys&dc=away", "", `200 ["a"]`},
		{http.MethodGet, "/v1/status/leader", "", `200 "` + address + `"`},
		{http.MethodGet, "/v1/status/peers", "", `200 ["` + address + `"]`},
		{http.MethodGet, "/livez", "", "404 Invalid URL path: not a recognized HTTP API endpoint"},
	} {
		if got := ask(c[0], consul+c[1], c[2]); got != c[3] {
			t.Errorf("%s %s is answered %s, want %s", c[0], c[1], got, c[3])
		}
	}
	if got := ask(http.MethodPost, node.URL+"/v1/cluster/placement", `{"prefix":"consul/b/","region":"away"}`); !strings.HasPrefix(got, "200") {
		t.Fatalf("the placement of a part is answered %s", got)
	}
	const refused = "500 the keys that begin with consul/ have several owners"
	got := ""
	for end := time.Now().Add(30 * time.Second); !strings.HasPrefix(got, refused) && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		got = ask(http.MethodGet, consul+"/v1/kv/a", "") // until the node has the new map
	}
	if !strings.HasPrefix(got, refused) {
		t.Errorf("with a part that has another owner it is answered %s", got)
	}
}
