package cluster_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
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

// TestConsulSecured: in a cluster with TLS the listener speaks nothing else, with the certificate of the node, and takes tokens where Consul
// does; one with a policy for a part of the keys reaches no others.
func TestConsulSecured(t *testing.T) {
	if testing.Short() {
		t.Skip("a planet says nothing about races")
	}
	t.Parallel()
	p := local.Dev(t, local.WithRegions("home"), local.WithEdges(0), local.WithConsul(), local.WithTLS())
	var rules []api.PolicyRule
	for _, prefix := range []api.Key{"consul/app/", "consul/.meta/"} {
		rules = append(rules, api.PolicyRule{Prefix: prefix, Read: true, List: true, Write: true})
	}
	if err := p.SetPolicy(t.Context(), api.Policy{Name: "app", Rules: rules}); err != nil {
		t.Fatal(err)
	}
	token, err := p.NewToken(t.Context(), "app", "app")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.Root())
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}}
	defer c.CloseIdleConnections()
	at := p.Nodes()[0].Consul
	for _, x := range [][4]string{
		{"https", "/v1/kv/app/a", "", "403"}, {"https", "/v1/kv/app/a", "wrong", "403"}, {"https", "/v1/kv/app/a", token, "200"}, {"https", "/v1/kv/app/a?token=" + token, "", "200"},
		{"https", "/v1/kv/other/a", token, "403"}, {"https", "/v1/kv/app/?keys&token=" + token, "", "200"}, {"https", "/v1/kv/?keys&token=" + token, "", "403"}, {"http", "/v1/kv/app/a", token, "400"},
	} {
		method := http.MethodPut
		if strings.Contains(x[1], "keys") {
			method = http.MethodGet
		}
		r, err := http.NewRequestWithContext(t.Context(), method, x[0]+"://"+at+x[1], strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Consul-Token", x[2])
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close() // the status says it all
		if res.Status[:3] != x[3] {
			t.Errorf("%s of %s://%.20s with %.6q is answered %s, want %s", method, x[0], x[1], x[2], res.Status, x[3])
		}
	}
}
