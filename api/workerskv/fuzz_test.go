package workerskv

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
)

// FuzzRequest: whatever comes as the head or as the body of a request is refused with a status of the protocol, or asks for what the store
// takes and for nothing outside its namespace.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/k?urlencoded=true&cache_ttl=5", "NS", "", "")
	f.Add("PUT", "/a%2Fb?expiration_ttl=60", "NS", `{"a":1}`, "v")
	f.Add("PUT", "/.meta%2Fx?expiration=4000000000", "NS", `"m"`, "v")
	f.Add("GET", "/?prefix=a&cursor=YQ&key_count_limit=3", "NS", "", "")
	f.Add("POST", "/bulk/get", "NS", "", `{"keys":["a","b"],"type":"json","withMetadata":true,"cacheTtl":"60"}`)
	f.Add("DELETE", "/workers-kv/NS/k", "", "", "")
	f.Add("PATCH", "/%FF?%zz", ".meta", "{", "[")
	f.Fuzz(func(t *testing.T, method, target, ns, metadata, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return // net/http refuses it
		}
		r := &http.Request{Method: method, URL: u, Header: http.Header{}}
		if ns != "" {
			r.Header.Set(NamespaceHeader, ns)
		}
		if metadata != "" {
			r.Header.Set(metadataHeader, metadata)
		}
		q, err := parse(r, time.Unix(2e9, 0))
		if err != nil {
			checkRefusal(t, err)
		} else {
			checkRequest(t, &q)
		}
		ask, err := parseBulk([]byte(body))
		if err != nil {
			checkRefusal(t, err)
			return
		}
		answer, err := ask.answer(make([]api.Entry, 2*len(ask.Keys)))
		if err != nil || !json.Valid(answer) || len(ask.Keys) > MaxBulkKeys {
			t.Fatalf("bulk %q: %s, %v", body, answer, err)
		}
	})
}

func checkRefusal(t *testing.T, err error) {
	e := door.Explain(err, true)
	switch status := door.StatusOf(err, e); status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong:
	default:
		t.Fatalf("refused with %d: %v", status, err)
	}
	if p := phrase(e.Hint); p == "" || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Fatalf("the reason phrase of %q is %q", e.Hint, p)
	}
}

func checkRequest(t *testing.T, q *request) {
	dir := "kv/" + string(q.namespace) + "/"
	if strings.Contains(string(q.namespace), "/") {
		t.Fatalf("namespace %q", q.namespace)
	}
	all := api.PrefixRange(api.Key(dir))
	switch q.verb {
	case get, put, remove:
		for _, k := range []api.Key{q.namespace.value(q.name), q.namespace.meta(q.name)} {
			if api.CheckKey(k) != nil || !all.Contains(k) {
				t.Fatalf("%q is stored as %q", q.name, k)
			}
		}
		if q.ttl != 0 && api.CheckTTL(q.ttl) != nil || q.maxStale < 0 || q.bounded != (q.maxStale > 0) || len(q.metadata) > MaxMetadataBytes {
			t.Fatalf("%+v", q)
		}
	case list:
		ranges := q.namespace.ranges(q.prefix, q.after)
		if len(ranges) > 0 && q.together(ranges).Check() != nil {
			t.Fatalf("a list of %q after %q is %+v", q.prefix, q.after, q.together(ranges))
		}
		for _, r := range ranges {
			if !all.ContainsRange(r) || r.Overlaps(api.PrefixRange(q.namespace.meta(""))) || (&api.ListRequest{Range: r, Limit: q.limit}).Check() != nil {
				t.Fatalf("a list of %q after %q has the range %v", q.prefix, q.after, r)
			}
		}
	}
}
