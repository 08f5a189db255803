package httpd_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
)

// keyOf is the API over a Store that records which key was asked for.
func keyOf(key *api.Key) http.Handler {
	return newAPI(front.Config{Store: fake{read: func(_ context.Context, r *api.ReadRequest) (*api.ReadResult, error) {
		*key = r.Keys[0]
		return &api.ReadResult{Entries: []api.Entry{{Exists: true}}}, nil
	}}}, httpd.Config{})
}

// send writes a request line as it stands to a real server, and returns the answer.
func send(t *testing.T, addr, method, target string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: edgehold\r\nConnection: close\r\n\r\n", method, target); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	_ = r.Body.Close()
	return r
}

func TestPathIsTheKey(t *testing.T) {
	var got api.Key
	s := httptest.NewServer(keyOf(&got))
	defer s.Close()
	for target, want := range map[string]api.Key{
		"a":                 "a",
		"a/b":               "a/b",
		"a//b":              "a//b",
		"a/../b":            "a/../b",
		"a/./b":             "a/./b",
		"..":                "..",
		".":                 ".",
		"%2E%2e":            "..",
		"/":                 "/",
		"//":                "//",
		"/a":                "/a",
		"a/":                "a/",
		"a%2Fb":             "a/b",
		"a%2fb":             "a/b",
		"%2F":               "/",
		"a%252Fb":           "a%2Fb",
		"a+b":               "a+b",
		"a%2Bb":             "a+b",
		"a%20b":             "a b",
		"%00":               "\x00",
		"%ff%FE":            "\xff\xfe",
		"%D0%BA":            "к",
		"a;b=c&d":           "a;b=c&d",
		"a%3Fb":             "a?b",
		"a%23b":             "a#b",
		"a#b":               "a#b", // a request line has no fragment
		"a:b@c$!*'(),~":     "a:b@c$!*'(),~",
		"a[b]\"<>|^`{}\\":   "a[b]\"<>|^`{}\\",
		"v1/kv/a":           "v1/kv/a",
		"../../livez":       "../../livez",
		"http://other/x":    "http://other/x",
		"http:%2F%2Fother/": "http://other/",
		"a?timeout=5s":      "a",
		"a?":                "a",
	} {
		got = ""
		if r := send(t, s.Listener.Addr().String(), "GET", "/v1/kv/"+target); r.StatusCode != 200 || got != want {
			t.Errorf("%s: status %d, key %q, want %q", target, r.StatusCode, got, want)
		}
	}
	if send(t, s.Listener.Addr().String(), "GET", "http://edgehold/v1/kv/absolute"); got != "absolute" {
		t.Errorf("a whole URL gave key %q", got)
	}
	for _, target := range []string{"%", "%z", "%zz", "a%2", "a%2/b", "%u0041"} {
		if r := send(t, s.Listener.Addr().String(), "GET", "/v1/kv/"+target); r.StatusCode != 400 {
			t.Errorf("%s: status %d, want 400", target, r.StatusCode)
		}
	}
}

// FuzzPath: whatever a request line says, the key is what its path decodes to, or the request is refused.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"a", "a//b", "a/../b", "%2F", "%zz", "a+b", "%00%ff", "?x=1", "a#b", "[", ""} {
		f.Add(s)
	}
	var got api.Key
	h := keyOf(&got)
	f.Fuzz(func(t *testing.T, target string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET /v1/kv/" + target + " HTTP/1.1\r\nHost: a\r\n\r\n")))
		if err != nil {
			return // refused before it came to us
		}
		got = ""
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		raw, query, _ := strings.Cut(strings.TrimPrefix(r.RequestURI, "/v1/kv/"), "?")
		want, err := url.PathUnescape(raw)
		if err != nil {
			t.Fatalf("%q was let through: %v", target, err)
		}
		switch {
		case w.Code == 200 && got != api.Key(want):
			t.Fatalf("%q: key %q, want %q", target, got, want)
		case w.Code != 200 && query == "" && want != "" && len(want) <= api.MaxKeyBytes:
			t.Fatalf("%q: status %d: %s", target, w.Code, w.Body)
		}
	})
}

// FuzzHeaders: no header that a client may send makes the API fall over.
func FuzzHeaders(f *testing.F) {
	f.Add(`"1.2"`, `*`, "eh1-00112233445566778899aabbccddeeff-5-2", "prefix=a&page=AQAAAAA")
	f.Add(`W/"1.2", "a"`, `"`, "", "page=AQABYQFi")
	h, _ := memoryAPI()
	f.Fuzz(func(t *testing.T, ifMatch, ifNoneMatch, once, query string) {
		for _, target := range []string{"/v1/kv/a", "/v1/kv"} {
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				r := httptest.NewRequest(method, target, nil)
				r.URL.RawQuery = query
				r.Header["If-Match"], r.Header["If-None-Match"] = []string{ifMatch}, []string{ifNoneMatch}
				r.Header["Idempotency-Key"] = []string{once}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code >= 500 {
					t.Fatalf("%s %s: status %d: %s", method, target, w.Code, w.Body)
				}
			}
		}
	})
}
