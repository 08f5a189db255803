package consul

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestConformance is the table of the KV API: what a request is answered, one after the other.
func TestConformance(t *testing.T) {
	c := newClient(t)
	for _, row := range []struct {
		line, body string
		status     int
		answer     string
	}{
		{"GET /v1/kv/a", "", 404, ""},
		{"GET /v1/kv/", "", 400, "Missing key name"},
		{"PUT /v1/kv/", "x", 400, "Missing key name"},
		{"DELETE /v1/kv/", "", 400, "Missing key name"},
		{"POST /v1/kv/a", "x", 405, "method POST not allowed"},
		{"GET /v1/txn", "", 405, "method GET not allowed"},
		{"GET /v1/nosuch", "", 404, "Invalid URL path: not a recognized HTTP API endpoint"},
		{"PUT /v1/kv/a?dc=home", "one", 200, "true"},
		{"PUT /v1/kv/a?dc=nowhere", "x", 500, "No path to datacenter"},
		{"GET /v1/kv/a?raw", "", 200, "one"},
		{"GET /v1/kv/a?raw&dc=away", "", 200, "one"},
		{"GET /v1/kv/a?raw&stale", "", 200, "one"},
		{"GET /v1/kv/a?raw&consistent", "", 200, "one"},
		{"GET /v1/kv/a?stale&consistent", "", 400, "Cannot specify ?stale with ?consistent, conflicting semantics."},
		{"GET /v1/kv/a?index=x", "", 400, "Invalid index"},
		{"GET /v1/kv/a?index=-1", "", 400, "Invalid index"},
		{"GET /v1/kv/a?index=1&wait=x", "", 400, "Invalid wait time"},
		{"GET /v1/kv/a?ns=x", "", 400, `Invalid query parameter: "ns" - namespaces, partitions and peers are not served`},
		{"PUT /v1/kv/a?cas=0", "x", 200, "false"},
		{"PUT /v1/kv/b?cas=0", "two", 200, "true"},
		{"PUT /v1/kv/b?cas=7", "x", 200, "false"},
		{"PUT /v1/kv/none?cas=7", "x", 200, "false"},
		{"PUT /v1/kv/b?cas=x", "x", 400, `Invalid cas: "x" is not a number`},
		{"PUT /v1/kv/b?flags=x", "x", 400, `Invalid flags: "x" is not a number`},
		{"PUT /v1/kv/b?cas=1&acquire=s", "x", 400, "Conflicting flags: acquire=s&cas=1"},
		{"DELETE /v1/kv/b?cas=1&recurse", "", 400, "Conflicting flags: cas=1&recurse="},
		{"PUT /v1/kv/b?acquire=nosuch", "x", 500, `invalid session "nosuch"`},
		{"PUT /v1/kv/b?acquire=", "x", 500, "missing session"},
		{"PUT /v1/kv/b?release=nosuch", "x", 200, "false"},
		{"GET /v1/kv/b?raw", "", 200, "two"},
		{"PUT /v1/kv/d/e", "", 200, "true"},
		{"PUT /v1/kv/d/f/g", "3", 200, "true"},
		{"PUT /v1/kv/d/f/h", "4", 200, "true"},
		{"PUT /v1/kv/df", "5", 200, "true"},
		{"GET /v1/kv/d/?keys", "", 200, `["d/e","d/f/g","d/f/h"]`},
		{"GET /v1/kv/d/?keys&separator=/", "", 200, `["d/e","d/f/"]`},
		{"GET /v1/kv/?keys&separator=/", "", 200, `["a","b","d/","df"]`},
		{"GET /v1/kv/?keys&seperator=/", "", 200, `["a","b","d/","df"]`},
		{"GET /v1/kv/d?keys", "", 200, `["d/e","d/f/g","d/f/h","df"]`},
		{"GET /v1/kv/x?keys", "", 404, ""},
		{"GET /v1/kv/x?recurse", "", 404, ""},
		{"DELETE /v1/kv/b?cas=7", "", 200, "false"},
		{"DELETE /v1/kv/b?cas=0", "", 200, "false"},
		{"DELETE /v1/kv/none?cas=7", "", 200, "true"},
		{"DELETE /v1/kv/none", "", 200, "true"},
		{"DELETE /v1/kv/d/?recurse", "", 200, "true"},
		{"GET /v1/kv/?keys", "", 200, `["a","b","df"]`},
		{"DELETE /v1/kv/?recurse", "", 200, "true"},
		{"GET /v1/kv/?keys", "", 200, `[]`},
		{"PUT /v1/kv/big", strings.Repeat("x", maxValueBytes+1), 413, "Request body too large, max size: 1048576 bytes"},
		{"PUT /v1/kv/z%00c", "x", 400, "A key has no zero byte here"},
		{"GET /v1/kv/?keys", "", 200, `[]`},
		{"GET /v1/health/service/web", "", 404, "Invalid URL path: not a recognized HTTP API endpoint"},
		{"GET /v1/catalog/services", "", 404, "Invalid URL path: not a recognized HTTP API endpoint"},
		{"GET /v1/status/leader", "", 200, `"127.0.0.1:1"`},
		{"GET /v1/status/peers", "", 200, `["127.0.0.1:1","127.0.0.1:2"]`},
		{"PUT /v1/session/destroy/", "", 400, "Missing session"},
		{"PUT /v1/session/destroy/nosuch", "", 200, "true"},
		{"PUT /v1/session/renew/nosuch", "", 404, "Session id 'nosuch' not found"},
		{"GET /v1/session/info/nosuch", "", 200, "[]"},
		{"GET /v1/session/node/n1", "", 200, "[]"},
		{"GET /v1/session/list", "", 200, "[]"},
		{"PUT /v1/session/create", "{", 400, "Request decode failed: unexpected EOF"},
		{"PUT /v1/session/create", `{"Behavior":"x"}`, 500, "Invalid Behavior setting 'x'"},
		{"PUT /v1/session/create", `{"TTL":"x"}`, 500, `Session TTL 'x' invalid: time: invalid duration "x"`},
		{"PUT /v1/session/create", `{"TTL":"1ms"}`, 500, "Invalid Session TTL '1000000', must be between [1s=24h0m0s]"},
		{"PUT /v1/session/create", `{"Checks":["web"]}`, 500, "Missing check 'web' registration"},
		{"PUT /v1/session/create", `{"LockDelay":"x"}`, 400, `Request decode failed: time: invalid duration "x"`},
	} {
		c.want(row.line, row.body, row.status, row.answer)
	}
	if r, err := c.m.List(t.Context(), &api.ListRequest{Range: api.Range{End: Prefix}}); err != nil || len(r.Entries) > 0 {
		t.Errorf("beside the prefix: %v, %v", r, err)
	}
}

// TestPairs: what belongs to a value: the flags of the last write, the index of the first and of the last.
func TestPairs(t *testing.T) {
	c := newClient(t)
	c.want("PUT /v1/kv/a?flags=18446744073709551615", "one", 200, "true")
	first := c.one("a")
	if string(first.Value) != "one" || first.Flags != 1<<64-1 || first.CreateIndex != first.ModifyIndex || first.CreateIndex == 0 || first.LockIndex != 0 || first.Key != "a" {
		t.Errorf("it is %+v", first)
	}
	c.want(fmt.Sprintf("PUT /v1/kv/a?cas=%d", first.ModifyIndex), "two", 200, "true")
	second := c.one("a")
	if string(second.Value) != "two" || second.Flags != 0 || second.CreateIndex != first.CreateIndex || second.ModifyIndex <= first.ModifyIndex {
		t.Errorf("it is %+v, after %+v", second, first)
	}
	c.want(fmt.Sprintf("PUT /v1/kv/a?cas=%d", first.ModifyIndex), "x", 200, "false")
	c.want(fmt.Sprintf("DELETE /v1/kv/a?cas=%d", first.ModifyIndex), "", 200, "false")
	c.want(fmt.Sprintf("DELETE /v1/kv/a?cas=%d", second.ModifyIndex), "", 200, "true")
	c.want("PUT /v1/kv/a", "", 200, "true")
	if third := c.one("a"); third.CreateIndex <= second.ModifyIndex || third.Value != nil {
		t.Errorf("it is %+v, after %+v", third, second)
	}
	if r := c.ask("GET /v1/kv/a?pretty", ""); !strings.Contains(r.body, "\n    {\n") || r.header.Get("X-Consul-Knownleader") != "true" || r.header.Get("X-Consul-Lastcontact") != "0" {
		t.Errorf("it is %s with %v", r.body, r.header)
	}
	if e := c.one("a"); e.Key != c.pairs("?recurse")[0].Key || e.ModifyIndex != c.pairs("a?stale")[0].ModifyIndex || e.CreateIndex != c.pairs("?recurse")[0].CreateIndex {
		t.Errorf("alone it is %+v, and in the tree %+v", e, c.pairs("?recurse"))
	}
}

// TestAgent: what clients ask an agent for: its datacenter (Terraform's provider), its name, and its address (Vault).
func TestAgent(t *testing.T) {
	c := newClient(t)
	var self struct {
		Config struct {
			Datacenter, NodeName, Version string
			Server                        bool
		}
		Member struct {
			Name, Addr string
			Port       int
			Tags       map[string]string
		}
	}
	r := c.ask("GET /v1/agent/self", "")
	if err := json.Unmarshal([]byte(r.body), &self); err != nil || r.status != 200 || r.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s, %v", r.status, r.body, err)
	}
	if x := self.Config; x.Datacenter != "home" || x.NodeName != "n1" || x.Version == "" || !x.Server {
		t.Errorf("it is %+v", x)
	}
	if x := self.Member; x.Name != "n1" || x.Addr != "10.0.0.1" || x.Port != 7400 || x.Tags["dc"] != "home" {
		t.Errorf("it is %+v", x)
	}
}

// TestHeaders: what an answer says beside its body.
func TestHeaders(t *testing.T) {
	c := newClient(t)
	c.want("PUT /v1/kv/a", "<b>", 200, "true")
	for query, want := range map[string]string{"": "leader", "?stale": "stale", "?consistent": "consistent"} {
		h := c.ask("GET /v1/kv/a"+query, "").header
		if h.Get("X-Consul-Effective-Consistency") != want || h.Get("X-Consul-Knownleader") != "true" || h.Get("X-Consul-Lastcontact") == "" || h.Get("X-Consul-Index") == "" {
			t.Errorf("%q: %v", query, h)
		}
	}
	h := c.ask("GET /v1/kv/a?raw", "").header
	if h.Get("Content-Type") != "text/plain" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != "sandbox" {
		t.Errorf("raw: %v", h)
	}
	if h := c.ask("POST /v1/kv/a", "").header; len(h.Values("Allow")) != 3 {
		t.Errorf("%v", h)
	}
}

// TestStoredNames: every name has a place of its own, in order, at which no front of another kind writes.
func TestStoredNames(t *testing.T) {
	names := []string{
		".lock", ".lock.", ".lock.a", ".lock/x", ".lockinfo", ".loc", ".meta", ".meta.", ".meta/session/x", ".metab", "a/.meta/x", "a", "a/.lock", "a/.lock.",
		"a/.lock/b", "a/.lock0", "a/.lockinfo", "a-b", "a/", "a//b", "a/../b", "a b", "ä", ".lock/.lock/.lock", "x.lock", "a/x.lock/b", ".lock-1",
	}
	slices.Sort(names)
	c := newClient(t)
	var last api.Key
	for _, name := range names {
		k := dataKey(name)
		if got, ok := named(strings.TrimPrefix(string(k), Prefix)); got != name || !ok || k <= last {
			t.Errorf("%q is stored as %q, after %q, which is %q", name, k, last, got)
		}
		if strings.Contains(string(k)+"/", "/.lock/") || strings.HasPrefix(string(k), own) {
			t.Errorf("%q is stored as %q, which is not the front's to write", name, k)
		}
		for i := range name {
			if !strings.HasPrefix(string(k), string(dataKey(name[:i]))) {
				t.Errorf("%q is stored as %q, and what it begins with as %q", name, k, dataKey(name[:i]))
			}
		}
		last = k
		c.want("PUT /v1/kv/"+strings.ReplaceAll(strings.ReplaceAll(name, " ", "%20"), "ä", "%C3%A4"), name, 200, "true")
	}
	var found []string
	for _, p := range c.pairs("?recurse") {
		found = append(found, p.Key)
		if p.Key != string(p.Value) {
			t.Errorf("%q has the value %q", p.Key, p.Value)
		}
	}
	if !slices.Equal(found, names) {
		t.Errorf("found %q, want %q", found, names)
	}
	for prefix, want := range map[string]int{"a/.lock": 5, ".lock": 7, ".meta": 4, "a/": 10} {
		if got := c.pairs(prefix + "?recurse"); len(got) != want {
			t.Errorf("%q has %d keys, want %d", prefix, len(got), want)
		}
	}
}

// TestOtherMeans: keys that were written through the HTTP API are read as keys without flags and lock, and others are not listed.
func TestOtherMeans(t *testing.T) {
	c := newClient(t)
	for _, k := range []api.Key{"consul/a", "consul/.lock/0123", "consul/b\x00f", "consul/.meta/x"} {
		if _, err := c.m.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: []byte("v")}}}); err != nil {
			t.Fatal(err)
		}
	}
	if all := c.pairs("?recurse"); len(all) != 1 || all[0].Key != "a" || all[0].CreateIndex != all[0].ModifyIndex || string(all[0].Value) != "v" {
		t.Errorf("found %+v", all)
	}
	c.want("GET /v1/kv/b", "", 404, "")
	c.want("GET /v1/kv/?keys", "", 200, `["a"]`)
}

// TestLongTree: a tree of thousands of keys is one answer, of one instant: one list. One that is too long for that is refused.
func TestLongTree(t *testing.T) {
	if testing.Short() {
		t.Skip("limits say nothing about races")
	}
	c := newClient(t)
	const n = 2500
	for i := range n {
		if _, err := c.m.Do(t.Context(), &api.Txn{Then: []api.Op{
			{Kind: api.OpPut, Key: dataKey(fmt.Sprintf("t/%05d", i)), Value: []byte("v")}, {Kind: api.OpPut, Key: dataKey(fmt.Sprintf("t/%05d", i)) + created},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	all := c.pairs("t/?recurse")
	if len(all) != n || !slices.IsSortedFunc(all, func(a, b pair) int { return strings.Compare(a.Key, b.Key) }) || all[n-1].Key != "t/02499" {
		t.Errorf("found %d keys", len(all))
	}
	if got := c.pairs("?recurse"); len(got) != n {
		t.Errorf("found %d keys", len(got))
	}
	c.want("DELETE /v1/kv/t/0?recurse", "", 200, "true")
	c.want("GET /v1/kv/?recurse", "", 404, "")
	for i := range 9 {
		c.want(fmt.Sprintf("PUT /v1/kv/big/%d", i), strings.Repeat("x", maxValueBytes), 200, "true")
	}
	if r := c.ask("GET /v1/kv/big/?recurse", ""); r.status != http.StatusRequestEntityTooLarge || !strings.Contains(r.body, "8388608") {
		t.Errorf("a tree that is too large is answered %d %.200s", r.status, r.body)
	}
	c.want("GET /v1/kv/big/1?keys", "", 200, `["big/1"]`)
}
