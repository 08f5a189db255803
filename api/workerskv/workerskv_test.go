package workerskv_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/api/workerskv"
)

// server is the front over a reference store, behind a real connection: reason phrases are part of what a binding reads.
type server struct {
	t   testing.TB
	url string
	*storetest.Memory
}

func start(t testing.TB, change ...func(*front.Config)) *server {
	t.Helper()
	m := storetest.NewMemory()
	c := front.Config{Store: m, Lister: m, Node: "n1"}
	for _, f := range change {
		f(&c)
	}
	s := httptest.NewServer(workerskv.New(front.New(c)))
	t.Cleanup(s.Close)
	return &server{t, s.URL, m}
}

// answer is what came back. phrase is the reason phrase.
type answer struct {
	status int
	phrase string
	header http.Header
	body   string
	closes bool // the connection
}

// ask sends a request to namespace NS; header lines are "Name: value".
func (s *server) ask(method, target, body string, lines ...string) answer {
	s.t.Helper()
	return s.askPlain(method, target, body, append(lines, workerskv.NamespaceHeader+": NS")...)
}

func (s *server) askPlain(method, target, body string, lines ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	path, query, _ := strings.Cut(target, "?")
	r.URL.Opaque, r.URL.RawQuery = "//"+r.URL.Host+path, query
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		r.Header.Add(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer func() { _ = res.Body.Close() }() // it has been read
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, target, err)
	}
	_, phrase, _ := strings.Cut(res.Status, " ")
	return answer{res.StatusCode, phrase, res.Header, string(b), res.Close}
}

// entry is the key as the store has it.
func (s *server) entry(k api.Key) api.Entry {
	s.t.Helper()
	var out api.ReadResult
	if err := s.Read(context.Background(), &api.ReadRequest{Keys: []api.Key{k}}, &out); err != nil {
		s.t.Fatal(err)
	}
	return out.Entries[0]
}

// keys are all stored keys.
func (s *server) keys() (all []string) {
	s.t.Helper()
	res, err := s.List(context.Background(), &api.ListRequest{Limit: api.MaxListLimit})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range res.Entries {
		all = append(all, string(e.Key))
	}
	return all
}

// TestConformance is the table of what a binding asks and of the answers that it understands. It was recorded from workerd.
func TestConformance(t *testing.T) {
	long := strings.Repeat("k", workerskv.MaxKeyBytes)
	for _, c := range []struct {
		name, method, target, body, header string
		status                             int
		phrase, want                       string // phrase: "" is the status's own; want: the body, if not ""
	}{
		{name: "get", method: "GET", target: "/k?urlencoded=true", status: 200, want: "value"},
		{name: "get of a key that is absent", method: "GET", target: "/absent?urlencoded=true", status: 404},
		{name: "get with cache_ttl", method: "GET", target: "/k?urlencoded=true&cache_ttl=60", status: 200, want: "value"},
		{name: "get with cache_ttl 0", method: "GET", target: "/k?urlencoded=true&cache_ttl=0", status: 200, want: "value"},
		{name: "get with cache_ttl below 0", method: "GET", target: "/k?urlencoded=true&cache_ttl=-1", status: 400, phrase: "Invalid cache_ttl of -1. Cache TTL must be at least 0."},
		{name: "get with cache_ttl that is no number", method: "GET", target: "/k?cache_ttl=x", status: 400, phrase: "Invalid cache_ttl of x. Cache TTL must be at least 0."},
		{name: "put", method: "PUT", target: "/n?urlencoded=true", body: "v", status: 200},
		{name: "put of nothing", method: "PUT", target: "/n?urlencoded=true", status: 200},
		{name: "put with expiration_ttl", method: "PUT", target: "/n?urlencoded=true&expiration_ttl=60", body: "v", status: 200},
		{name: "put with a short expiration_ttl", method: "PUT", target: "/n?expiration_ttl=1", body: "v", status: 200},
		{name: "put with expiration_ttl 0", method: "PUT", target: "/n?expiration_ttl=0", body: "v", status: 400, phrase: "Invalid expiration_ttl of 0. Please specify integer greater than 0."},
		{name: "put with half an expiration_ttl", method: "PUT", target: "/n?expiration_ttl=1.5", body: "v", status: 400, phrase: "Invalid expiration_ttl of 1.5. Please specify integer greater than 0."},
		{name: "put with too long an expiration_ttl", method: "PUT", target: "/n?expiration_ttl=2147483647", body: "v", status: 400, phrase: "Invalid expiration_ttl of 2147483647. A key lives for at most 3650 days."},
		{name: "put with far too long an expiration_ttl", method: "PUT", target: "/n?expiration_ttl=9223372036854775807", body: "v", status: 400, phrase: "Invalid expiration_ttl of 9223372036854775807. A key lives for at most 3650 days."},
		{name: "put with expiration", method: "PUT", target: fmt.Sprintf("/n?expiration=%d", time.Now().Add(time.Hour).Unix()), body: "v", status: 200},
		{name: "put with expiration in the past", method: "PUT", target: "/n?expiration=1700000000", body: "v", status: 400, phrase: "Invalid expiration of 1700000000. Please specify integer greater than the current number of seconds since the UNIX epoch."},
		{name: "put with metadata", method: "PUT", target: "/n", body: "v", header: `CF-KV-Metadata: {"a":[1,"é"]}`, status: 200},
		{name: "put with metadata null", method: "PUT", target: "/n", body: "v", header: `CF-KV-Metadata: null`, status: 200},
		{name: "put with metadata that is no JSON", method: "PUT", target: "/n", body: "v", header: `CF-KV-Metadata: {a}`, status: 400, phrase: "Metadata must be valid JSON."},
		{name: "put with the longest metadata", method: "PUT", target: "/n", body: "v", header: `CF-KV-Metadata: "` + strings.Repeat("m", workerskv.MaxMetadataBytes-2) + `"`, status: 200},
		{name: "put with longer metadata", method: "PUT", target: "/n", body: "v", header: `CF-KV-Metadata: "` + strings.Repeat("m", workerskv.MaxMetadataBytes-1) + `"`, status: 413, phrase: "Metadata length of 1025 exceeds limit of 1024."},
		{name: "put of the longest value", method: "PUT", target: "/n", body: strings.Repeat("v", api.MaxValueBytes), status: 200},
		{name: "put of a longer value", method: "PUT", target: "/n", body: strings.Repeat("v", api.MaxValueBytes+1), status: 413, phrase: "Value length of 1048577 exceeds limit of 1048576."},
		{name: "put with a coding", method: "PUT", target: "/n", body: "v", header: "Content-Encoding: gzip", status: 415},
		{name: "delete", method: "DELETE", target: "/n?urlencoded=true", status: 200},
		{name: "delete of a key that is absent", method: "DELETE", target: "/absent?urlencoded=true", status: 200},
		{name: "the longest key", method: "PUT", target: "/" + long, status: 200},
		{name: "a longer key", method: "PUT", target: "/" + long + "k", status: 414, phrase: "UTF-8 encoded length of 513 exceeds key length limit of 512."},
		{name: "no key", method: "PUT", target: "/", status: 400, phrase: "Key names must not be empty"},
		{name: "a dot", method: "PUT", target: "/.", status: 400, phrase: `Illegal key name ".". Please use a different name.`},
		{name: "two dots, escaped", method: "GET", target: "/%2E%2e", status: 400, phrase: `Illegal key name "..". Please use a different name.`},
		{name: "a key that is not UTF-8", method: "PUT", target: "/%FF", status: 400, phrase: "Could not URL-decode key name"},
		{name: "a key of locks", method: "PUT", target: "/.lock", body: "v", status: 400, phrase: "keys with a segment .lock"},
		{name: "another method", method: "PATCH", target: "/k", status: 405},
		{name: "post of a key", method: "POST", target: "/k", status: 405},
		{name: "list", method: "GET", target: "/", status: 200, want: `{"keys":[{"name":"k"}],"list_complete":true,"cacheStatus":null}`},
		{name: "list of what is not there", method: "GET", target: "/?prefix=x", status: 200, want: `{"keys":[],"list_complete":true,"cacheStatus":null}`},
		{name: "list with an empty prefix and cursor", method: "GET", target: "/?prefix=&cursor=", status: 200, want: `{"keys":[{"name":"k"}],"list_complete":true,"cacheStatus":null}`},
		{name: "list of none", method: "GET", target: "/?key_count_limit=0", status: 400, phrase: "Invalid key_count_limit of 0. Please specify an integer greater than 0."},
		{name: "list of too many", method: "GET", target: "/?key_count_limit=1001", status: 400, phrase: "Invalid key_count_limit of 1001. Please specify an integer of at most 1000."},
		{name: "list with a long prefix", method: "GET", target: "/?prefix=" + long + "k", status: 414, phrase: "UTF-8 encoded length of 513 exceeds key length limit of 512."},
		{name: "list with a wrong cursor", method: "GET", target: "/?cursor=%21", status: 400, phrase: "Invalid cursor. Please use the cursor of the page before, with the same prefix."},
		{name: "list with a cursor of another prefix", method: "GET", target: "/?prefix=b&cursor=YQ", status: 400, phrase: "Invalid cursor. Please use the cursor of the page before, with the same prefix."},
		{name: "a malformed query", method: "GET", target: "/k?cache_ttl=%zz", status: 400, phrase: "The query of the URL is malformed."},
		{name: "bulk", method: "POST", target: "/bulk/get", body: `{"keys":["k","absent","k"]}`, status: 200, want: `{"k":"value","absent":null}`},
		{name: "bulk with metadata", method: "POST", target: "/bulk/get", body: `{"keys":["k","absent"],"type":"text","withMetadata":true}`, status: 200, want: `{"k":{"value":"value","metadata":null},"absent":null}`},
		{name: "bulk with cacheTtl", method: "POST", target: "/bulk/get", body: `{"keys":["k"],"cacheTtl":"60"}`, status: 200, want: `{"k":"value"}`},
		{name: "bulk with a wrong cacheTtl", method: "POST", target: "/bulk/get", body: `{"keys":["k"],"cacheTtl":-5}`, status: 400, phrase: "Invalid cache_ttl of -5. Cache TTL must be at least 0."},
		{name: "bulk of JSON that is none", method: "POST", target: "/bulk/get", body: `{"keys":["k"],"type":"json"}`, status: 400, phrase: "At least one of the requested keys corresponds to a non-json value"},
		{name: "bulk of another type", method: "POST", target: "/bulk/get", body: `{"keys":["k"],"type":"arrayBuffer"}`, status: 400, phrase: `"arrayBuffer" is not a valid type. Use "json" or "text"`},
		{name: "bulk of no keys", method: "POST", target: "/bulk/get", body: `{"keys":[]}`, status: 400, phrase: "You must request a minimum of 1 key"},
		{name: "bulk of too many keys", method: "POST", target: "/bulk/get", body: `{"keys":["k"` + strings.Repeat(`,"k"`, 100) + `]}`, status: 400, phrase: "You can request a maximum of 100 keys"},
		{name: "bulk of an empty key", method: "POST", target: "/bulk/get", body: `{"keys":[""]}`, status: 400, phrase: "Key names must not be empty"},
		{name: "bulk without JSON", method: "POST", target: "/bulk/get", body: `keys`, status: 400, phrase: "The body must be JSON: keys, type, withMetadata and cacheTtl."},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t)
			s.ask("PUT", "/k?urlencoded=true", "value")
			before := s.keys()
			var lines []string
			if c.header != "" {
				lines = append(lines, c.header)
			}
			got := s.ask(c.method, c.target, c.body, lines...)
			phrase := c.phrase
			if phrase == "" {
				phrase = http.StatusText(c.status)
			}
			if got.status != c.status || !strings.Contains(got.phrase, phrase) {
				t.Errorf("%s %.60s: %d %s, want %d %s", c.method, c.target, got.status, got.phrase, c.status, phrase)
			}
			if c.want != "" && got.body != c.want {
				t.Errorf("%s %.60s: body %.200q, want %q", c.method, c.target, got.body, c.want)
			}
			if c.phrase != "" && !strings.Contains(got.body, c.phrase) {
				t.Errorf("the body %q does not say %q", got.body, c.phrase)
			}
			if after := s.keys(); c.status >= 400 && len(after) != len(before) {
				t.Errorf("the refused request has written: %q", after)
			}
		})
	}
}

// TestNamespaces: a namespace is named by the header or by the path, and sees its own keys alone.
func TestNamespaces(t *testing.T) {
	s := start(t)
	s.ask("PUT", "/k", "by header")
	s.askPlain("PUT", "/workers-kv/other/k", "by path")
	for _, c := range []struct{ target, header, want string }{
		{"/k", "NS", "by header"}, {"/k", "other", "by path"}, {"/workers-kv/NS/k", "", "by header"}, {"/workers-kv/other/k", "", "by path"},
		{"/workers-kv/NS", "", `{"keys":[{"name":"k"}],"list_complete":true,"cacheStatus":null}`},
		{"/workers-kv/NS/?prefix=k", "", `{"keys":[{"name":"k"}],"list_complete":true,"cacheStatus":null}`},
	} {
		var lines []string
		if c.header != "" {
			lines = []string{workerskv.NamespaceHeader + ": " + c.header}
		}
		if got := s.askPlain("GET", c.target, "", lines...); got.body != c.want {
			t.Errorf("%s of %q: %d %q, want %q", c.target, c.header, got.status, got.body, c.want)
		}
	}
	if got := s.ask("PUT", "/workers-kv/other/k", "x"); got.status != 200 || !s.entry("kv/NS/workers-kv/other/k").Exists {
		t.Errorf("with the header, the whole path is the key: %d, %q", got.status, s.keys())
	}
	for _, bad := range []string{"", ".", "..", ".meta", "a/b", "a b", "é", strings.Repeat("n", 65)} {
		if got := s.askPlain("PUT", "/k", "x", workerskv.NamespaceHeader+": "+bad); got.status != 400 || !strings.HasPrefix(got.phrase, "Invalid namespace") {
			t.Errorf("namespace %q: %d %s", bad, got.status, got.phrase)
		}
		if got := s.askPlain("PUT", "/workers-kv/"+url.PathEscape(bad)+"/k", "x"); got.status != 400 {
			t.Errorf("namespace %q in the path: %d %s", bad, got.status, got.phrase)
		}
	}
	if got := s.askPlain("GET", "/k", "", workerskv.NamespaceHeader+": a", workerskv.NamespaceHeader+": b"); got.status != 400 {
		t.Errorf("two namespaces: %d", got.status)
	}
}

// TestRefusalOfALargeValue: the refusal of a value that a binding could have sent elsewhere reaches a client that reads only after it has
// sent everything.
func TestRefusalOfALargeValue(t *testing.T) {
	s := start(t)
	for _, chunked := range []bool{false, true} {
		var body io.Reader = strings.NewReader(strings.Repeat("v", 5<<20))
		if chunked {
			body = struct{ io.Reader }{bufio.NewReader(body)}
		}
		r, err := http.NewRequestWithContext(t.Context(), "PUT", s.url+"/k", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(workerskv.NamespaceHeader, "NS")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("chunked %v: %v", chunked, err)
		}
		_ = res.Body.Close() // what it says stands in the status line too
		if res.StatusCode != 413 || !strings.Contains(res.Status, "exceeds limit of 1048576.") {
			t.Errorf("chunked %v: %s", chunked, res.Status)
		}
	}
}
