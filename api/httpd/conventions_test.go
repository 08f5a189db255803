package httpd_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api/httpd/contract"
)

// described returns the operations that the document has of a node which offers everything, by their paths and methods.
func described(t *testing.T, h http.Handler) map[string]map[string]*contract.Operation {
	t.Helper()
	d, err := documentOf(h)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]*contract.Operation{}
	for _, o := range d.Operations() {
		if all[o.Path] == nil {
			all[o.Path] = map[string]*contract.Operation{}
		}
		all[o.Path][o.Method] = o
	}
	return all
}

// TestOtherMethods: a method that the document lacks at a path is answered 405 with Allow, which is held against the document as every answer is. HEAD stands
// beside GET, but for streams of calls.
func TestOtherMethods(t *testing.T) {
	h := whole(t, nil, nil, nil)
	for path, operations := range described(t, h) {
		target := strings.NewReplacer("{", "", "}", "").Replace(path)
		for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "get"} {
			if operations[method] != nil || method == "HEAD" && operations["GET"] != nil && operations["GET"].ID != "openCalls" {
				continue
			}
			if r := request(h, method, "http://127.0.0.1:7400"+target, ""); r.StatusCode != http.StatusMethodNotAllowed && method != "HEAD" || header(r, "Allow") == "" {
				t.Errorf("%s %s: %d, Allow is %q", method, target, r.StatusCode, header(r, "Allow"))
			}
		}
	}
}

// TestHeadIsGet: HEAD has the status and the headers of GET, and no body.
func TestHeadIsGet(t *testing.T) {
	h := whole(t, nil, nil, nil)
	s := httptest.NewServer(h)
	defer s.Close()
	put(t, h, "us-east/alice", "hello")
	ask := func(method string, x *contract.Example) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+x.Target, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range x.Header {
			r.Header.Set(name, value)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body := bodyOf(t, res)
		_ = res.Body.Close()
		for _, name := range []string{"Date", "Content-Length", "Edgehold-Age"} { // a length may be left out of HEAD
			res.Header.Del(name)
		}
		return res, body
	}
	for _, operations := range described(t, h) {
		o := operations[http.MethodGet]
		if o == nil || o.ID == "openCalls" {
			continue
		}
		for _, x := range o.Examples() {
			get, _ := ask(http.MethodGet, x)
			head, body := ask(http.MethodHead, x)
			if head.StatusCode != get.StatusCode || body != "" || !reflect.DeepEqual(head.Header, get.Header) {
				t.Errorf("%s: HEAD is %d %v with %q, GET %d %v", x.Target, head.StatusCode, head.Header, body, get.StatusCode, get.Header)
			}
		}
	}
}

// TestHeadersThatAreTaken: an operation looks at the headers that the document has of it, and refuses one that makes no sense. What a write does not take it
// does not ignore either, if it is a condition.
func TestHeadersThatAreTaken(t *testing.T) {
	for _, operations := range described(t, whole(t, nil, nil, nil)) {
		for _, o := range operations {
			synctest.Test(t, func(t *testing.T) { testHeaders(t, o) })
		}
	}
}

func testHeaders(t *testing.T, o *contract.Operation) {
	h, x := whole(t, nil, nil, nil), o.Examples()[0]
	plain := sendExample(t, h, x, nil).StatusCode
	for name, lines := range map[string][]string{
		"If-Match": {"no tag"}, "If-None-Match": {"no tag"}, "Idempotency-Key": {"a", "b"}, "Last-Event-ID": {strings.Repeat("x", 5000)},
	} {
		r := sendExample(t, h, x, func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = lines })
		refused := r.StatusCode == http.StatusBadRequest || r.StatusCode == http.StatusRequestEntityTooLarge
		if o.Takes(name) && !refused {
			t.Errorf("%s takes %s, and answers %v with %d", o.ID, name, lines, r.StatusCode)
		}
		if !o.Takes(name) && r.StatusCode != plain && !refused {
			t.Errorf("%s does not take %s, and answers %v with %d instead of %d", o.ID, name, lines, r.StatusCode, plain)
		}
	}
}

// TestNotModified: 304 has the headers by which 200 would have replaced what the client has, and none of a body. If-Match goes before If-None-Match.
func TestNotModified(t *testing.T) {
	h, _ := memoryAPI()
	version := put(t, h, "k", "v")
	full := request(h, "GET", "/v1/kv/k", "")
	for lines, status := range map[string]int{
		`If-None-Match: "` + version + `"`:                             304,
		`If-None-Match: "0.1", W/"` + version + `"`:                    304,
		`If-None-Match: *`:                                             304,
		`If-None-Match: "0.1"`:                                         200,
		`If-Match: "0.1"|If-None-Match: "` + version + `"`:             412,
		`If-Match: "` + version + `"|If-None-Match: "` + version + `"`: 304,
		`If-Match: "0.1", "` + version + `"|If-None-Match: "0.1"`:      200,
		`If-Match: *|If-None-Match: *`:                                 304,
		`If-Match: W/"` + version + `"`:                                412,
		`If-Modified-Since: Mon, 30 Nov 2099 00:00:00 GMT`:             200, // there is no date of change
		`Range: bytes=0-0`:                                             200, // values come whole
		`Accept: text/html`:                                            200,
	} {
		r := request(h, "GET", "/v1/kv/k", "", strings.Split(lines, "|")...)
		if r.StatusCode != status {
			t.Errorf("%s: %d, want %d", lines, r.StatusCode, status)
		}
		if status != 304 {
			continue
		}
		for _, name := range []string{"ETag", "Edgehold-Version", "Edgehold-Served-By", "Cache-Control", "Edgehold-Node"} {
			if header(r, name) != header(full, name) {
				t.Errorf("%s: %s is %q, and %q of 200", lines, name, header(r, name), header(full, name))
			}
		}
		if body := bodyOf(t, r); body != "" || header(r, "Content-Type") != "" {
			t.Errorf("%s: a body of type %q: %q", lines, header(r, "Content-Type"), body)
		}
	}
}
