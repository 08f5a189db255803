package httpd_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// corsAPI is the API with pages of the origins.
func corsAPI(origins ...string) http.Handler {
	m := storetest.NewMemory()
	return newAPI(front.Config{Store: m, Lister: m, Watcher: m, Admin: &fakeAdmin{}}, httpd.Config{CORSOrigins: origins})
}

// corsHeaders are the headers of CORS in an answer.
func corsHeaders(r *http.Response) string {
	var all []string
	for _, name := range sorted(r.Header) {
		if rest, ok := strings.CutPrefix(name, "Access-Control-"); ok {
			all = append(all, rest)
		}
	}
	return strings.Join(all, " ")
}

// TestCORS: pages of an origin that is allowed may use what is about keys, with a token and without credentials of the browser. Any
// other origin gets no header of CORS, and may not write.
func TestCORS(t *testing.T) {
	h := corsAPI("https://app.example", "http://localhost:8080")
	put(t, h, "k", "v")
	r := request(h, "GET", "/v1/kv/k", "", "Origin: https://app.example")
	if wantStatus(t, r, 200); header(r, "Access-Control-Allow-Origin") != "https://app.example" || header(r, "Vary") != "Origin" {
		t.Errorf("%v", r.Header)
	}
	if exposed := header(r, "Access-Control-Expose-Headers"); !strings.Contains(exposed, "ETag") || !strings.Contains(exposed, "Edgehold-Version") {
		t.Errorf("exposed are %s", exposed)
	}
	for path, status := range map[string]int{"/v1/kv?prefix=k": 200, "/v1/kv/none": 404, "/v1/watch?from=x": 400, "/v1/kv/k?x": 400, "/v1/access/self": 200} {
		r := request(h, "GET", path, "", "Origin: http://localhost:8080")
		if wantStatus(t, r, status); corsHeaders(r) != "Allow-Origin Expose-Headers" {
			t.Errorf("%s: %v", path, r.Header)
		}
	}
	wantStatus(t, request(h, "PUT", "/v1/kv/k", "w", "Origin: https://app.example", "Sec-Fetch-Site: cross-site"), 200)
	for _, origin := range []string{"https://evil.example", "https://app.example.evil", "http://app.example", "null", "https://app.example:444"} {
		r := request(h, "GET", "/v1/kv/k", "", "Origin: "+origin)
		if wantStatus(t, r, 200); corsHeaders(r) != "" {
			t.Errorf("%s: %v", origin, r.Header)
		}
		if r := request(h, "PUT", "/v1/kv/k", "evil", "Origin: "+origin, "Sec-Fetch-Site: cross-site"); r.StatusCode != 403 || corsHeaders(r) != "" {
			t.Errorf("%s writes: %d", origin, r.StatusCode)
		}
	}
	for _, path := range []string{"/v1/cluster", "/v1/cluster/placement", "/livez", "/v1/calls"} {
		if r := request(h, "GET", path, "", "Origin: https://app.example"); corsHeaders(r) != "" {
			t.Errorf("%s is for pages: %v", path, r.Header)
		}
	}
	wantProblem(t, request(h, "POST", "/v1/cluster/placement", "{}", "Origin: https://app.example", "Sec-Fetch-Site: cross-site"), 403, "denied")
}

// TestPreflight: a browser that asks first is answered, without a token, for the methods that there are.
func TestPreflight(t *testing.T) {
	for _, origins := range [][]string{{"https://app.example"}, {"*"}} {
		h := corsAPI(origins...)
		ask := []string{"Origin: https://app.example", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: authorization,if-match"}
		r := request(h, "OPTIONS", "/v1/kv/k", "", ask...)
		if wantStatus(t, r, 204); header(r, "Access-Control-Allow-Methods") != "GET, HEAD, PUT, DELETE" || header(r, "Access-Control-Max-Age") == "" {
			t.Errorf("%v", r.Header)
		}
		for _, name := range []string{"Authorization", "If-Match", "Idempotency-Key", "Last-Event-ID", "Content-Type"} {
			if !strings.Contains(header(r, "Access-Control-Allow-Headers"), name) {
				t.Errorf("%s may not be sent", name)
			}
		}
		if r.Header["Access-Control-Allow-Credentials"] != nil {
			t.Error("credentials of the browser are allowed")
		}
		if want := origins[0]; header(r, "Access-Control-Allow-Origin") != want {
			t.Errorf("allowed is %q, want %q", header(r, "Access-Control-Allow-Origin"), want)
		}
		wantProblem(t, request(h, "OPTIONS", "/v1/cluster", "", ask...), 405, "invalid")
		wantProblem(t, request(h, "OPTIONS", "/v1/kv/k", "", ask[0]), 405, "invalid")
	}
	r := request(corsAPI(), "OPTIONS", "/v1/kv/k", "", "Origin: https://app.example", "Access-Control-Request-Method: PUT")
	if wantProblem(t, r, 405, "invalid"); corsHeaders(r) != "" {
		t.Errorf("without the setting: %v", r.Header)
	}
}
