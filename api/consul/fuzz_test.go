package consul

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// FuzzRequest: whatever comes as the head or the body of a request is answered or refused, is never a fault, and touches no key beside
// the front's. What is refused has written nothing.
func FuzzRequest(f *testing.F) {
	f.Add("PUT", "/v1/kv/a%2Fb", "flags=7&cas=0", "x")
	f.Add("GET", "/v1/kv/.lock/", "recurse&separator=/&index=1&wait=1ns", "")
	f.Add("PUT", "/v1/kv/k", "acquire=s", "x")
	f.Add("DELETE", "/v1/kv/", "recurse", "")
	f.Add("PUT", "/v1/session/create", "", `{"TTL":"10s","LockDelay":1,"Checks":["serfHealth"]}`)
	f.Add("PUT", "/v1/session/destroy/s", "", "")
	f.Add("PUT", "/v1/txn", "", `[{"KV":{"Verb":"cas","Key":"a","Value":"eA==","Index":1}},{"KV":{"Verb":"delete-tree","Key":""}}]`)
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		if strings.Contains(query, "index") && !strings.HasSuffix(query, "&wait=1ns") {
			t.Skip("it may wait for minutes")
		}
		if len(method) > 10 || strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' }) || method == "" {
			t.Skip()
		}
		c := newClient(t)
		c.want("PUT /v1/kv/a", "one", 200, "true")
		before := c.one("a")
		r := httptest.NewRequestWithContext(t.Context(), method, "/", strings.NewReader(body))
		r.URL.Path, r.URL.RawQuery = path, query
		w := httptest.NewRecorder()
		c.h.ServeHTTP(w, r)
		if s := w.Code; s < 200 || s > 299 && s < 400 || s >= 500 && w.Body.Len() == 0 {
			t.Errorf("it is answered %d %s", w.Code, w.Body)
		}
		if w.Code != http.StatusOK && c.one("a").ModifyIndex != before.ModifyIndex {
			t.Errorf("it is answered %d %s, and has written", w.Code, w.Body)
		}
		outside, err := c.m.List(t.Context(), &api.ListRequest{Range: api.Range{End: Prefix}})
		above, err2 := c.m.List(t.Context(), &api.ListRequest{Range: api.Range{Start: "consul0"}})
		if err != nil || err2 != nil || len(outside.Entries)+len(above.Entries) > 0 {
			t.Errorf("it has written %v and %v beside the front's keys: %v, %v", outside.Entries, above.Entries, err, err2)
		}
	})
}
