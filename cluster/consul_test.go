package cluster_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strconv"
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
		status, answer, _ := askConsul(t, method, url, body)
		return status + " " + answer
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

// askConsul sends a request, and returns the status, the body and the index of the answer.
func askConsul(t *testing.T, method, url, body string) (status, answer string, index uint64) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return "", "", 0
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return "", "", 0
	}
	defer func() { _ = res.Body.Close() }() // it has been read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	index, _ = strconv.ParseUint(res.Header.Get("X-Consul-Index"), 10, 64) // writes have none
	return res.Status[:3], string(text), index
}

// TestConsulOfSeveralGroups: where a region divides its keys among several groups, one of them has all keys of the front from the
// beginning. They may be given to another group, also of another region, when there are none. Then no index goes back, and a query that
// waited for a change meanwhile is answered. While several groups have them, each request is refused with the next step.
func TestConsulOfSeveralGroups(t *testing.T) {
	if testing.Short() {
		t.Skip("a planet says nothing about races")
	}
	t.Parallel()
	p := local.Dev(t, local.WithRegions("home", "away"), local.WithEdges(0), local.WithConsul(), func(c *local.Config) { c.Groups = 2 })
	node, other := p.Nodes()[0], p.Nodes()[1]
	owner := func() (all []api.GroupID) {
		t.Helper()
		status, err := p.Client("home").Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range status.Ranges {
			if r.Start == "consul/" {
				all = append(all, r.Group)
			}
		}
		return all
	}
	empty := func() {
		t.Helper()
		for e, err := range p.Client("home").List(t.Context(), "consul/") {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Client("home").Delete(t.Context(), e.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
	place := func(body string, want string) { // which may be repeated
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			status, answer, _ := askConsul(t, http.MethodPost, node.URL+"/v1/cluster/placement", body)
			if status == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s is answered %s %s", body, status, answer)
			}
		}
	}
	// until repeats a request until its answer begins so: a node may have the map of before for a moment.
	until := func(method, url, want string) uint64 {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			status, answer, index := askConsul(t, method, url, "v")
			if got := status + " " + answer; strings.HasPrefix(got, want) {
				return index
			} else if time.Now().After(end) {
				t.Errorf("%s %s is answered %s, want %s", method, url, got, want)
				return 0
			}
		}
	}
	first := owner()
	if len(first) != 1 || !strings.HasPrefix(string(first[0]), "home.") {
		t.Fatalf("the keys have the owners %v", first)
	}
	rest := map[api.GroupID]api.GroupID{"home.1": "home.2", "home.2": "home.1"}[first[0]]
	var last uint64
	for _, group := range []api.GroupID{rest, "away.2"} {
		empty()
		_, _, now := askConsul(t, http.MethodGet, "http://"+other.Consul+"/v1/kv/t/?keys", "")
		answers := make(chan uint64, 1)
		go func() {
			answers <- until(http.MethodGet, fmt.Sprintf("http://%s/v1/kv/t/?keys&wait=20s&index=%d", other.Consul, now), `200 ["t/new"]`)
		}()
		place(fmt.Sprintf(`{"prefix":"consul/","group":%q}`, group), "200")
		if got := owner(); len(got) != 1 || got[0] != group {
			t.Errorf("the keys have the owners %v, want %s", got, group)
		}
		until(http.MethodPut, "http://"+node.Consul+"/v1/kv/t/new", "200 true")
		index := <-answers
		if index <= last || index <= now {
			t.Errorf("at %s the index is %d, and was %d and %d", group, index, last, now)
		}
		last = index
	}
	empty()
	place(`{"prefix":"consul/","region":"home"}`, "200")
	until(http.MethodGet, "http://"+node.Consul+"/v1/kv/t/new", "500 the keys that begin with consul/ have several owners, and an answer would be of no one instant. "+
		"Give all of them to one group, while there are none: edgehold placement set --prefix consul/ --group GROUP")
	place(`{"prefix":"consul/","group":"home.1"}`, "400")
	place(`{"prefix":"consul/","group":"away.1"}`, "200")
	until(http.MethodGet, "http://"+node.Consul+"/v1/kv/?keys", "200 []")
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
