package httpd_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestUI: the page and its files need no token, and come with a strict policy; nothing else is there.
func TestUI(t *testing.T) {
	h := httpd.New(front.New(front.Config{Store: storetest.NewMemory(), Node: "us-east-1"}), httpd.Config{}) // not held against the document, which lacks the page
	const at = "http://localhost:7400"
	for path, media := range map[string]string{"/ui/": "text/html; charset=utf-8", "/ui/app.js": "text/javascript; charset=utf-8", "/ui/style.css": "text/css; charset=utf-8", "/ui/icon.svg": "image/svg+xml"} {
		r := request(h, "GET", at+path, "")
		wantStatus(t, r, http.StatusOK)
		csp := r.Header.Get("Content-Security-Policy")
		if r.Header.Get("Content-Type") != media || !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") ||
			!strings.Contains(csp, "frame-ancestors 'none'") || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s comes with %v", path, r.Header)
		}
		if len(bodyOf(t, r)) == 0 {
			t.Errorf("%s is empty", path)
		}
	}
	wantProblem(t, request(h, "GET", at+"/ui/other.js", ""), 404, api.CodeNotFound, "no such file")
	wantProblem(t, request(h, "POST", at+"/ui/", ""), 405, api.CodeInvalid, "GET")
	for _, method := range []string{"GET", "HEAD"} {
		r := request(h, method, at+"/ui", "")
		wantStatus(t, r, http.StatusPermanentRedirect)
		if to := r.Header.Get("Location"); to != "ui/" {
			t.Errorf("%s /ui leads to %q", method, to)
		}
	}
	wantProblem(t, request(h, "POST", at+"/ui", ""), 405, api.CodeInvalid, "GET")
	for _, path := range []string{"/ui2", "/v1/ui", "/ui/page/app.js", "/ui/..%2fui.go", "/ui/%2e%2e/kv"} {
		wantStatus(t, request(h, "GET", at+path, ""), 404)
	}
	wantProblem(t, request(h, "GET", "http://rebound.example/ui/", ""), 403, api.CodeDenied, "rebound.example")
}
