package httpd_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/lock"
	"github.com/edgehold/edgehold/api/storetest"
)

// fake is a Store of functions.
type fake struct {
	read func(context.Context, *api.ReadRequest) (*api.ReadResult, error)
	do   func(context.Context, *api.Txn) (*api.TxnResult, error)
}

func (f fake) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	res, err := f.read(ctx, r)
	return storetest.Answer(out, res, err)
}
func (f fake) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) { return f.do(ctx, t) }

// memoryAPI is the API over a fresh reference Store, and that Store.
func memoryAPI(change ...func(*front.Config)) (http.Handler, *storetest.Memory) {
	m := storetest.NewMemory()
	c := front.Config{Store: m, Lister: m, Node: "us-east-1", Locks: lock.New(lock.Config{Store: m, Watcher: m})}
	for _, f := range change {
		f(&c)
	}
	return newAPI(c, httpd.Config{}), m
}

// request sends one request; header lines are "Name: value".
func request(h http.Handler, method, target, body string, lines ...string) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r = httptest.NewRequest(method, target, nil)
	}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// atOnce asks while virtual time stands still: what is left of a request's time is then what it came with.
func atOnce(t *testing.T, ask func() *http.Response) (r *http.Response) {
	t.Helper()
	synctest.Test(t, func(*testing.T) { r = ask() })
	return r
}

// header is a header line as it is on the wire, "" where there is none.
func header(r *http.Response, name string) string {
	for n, v := range r.Header {
		if strings.EqualFold(n, name) {
			return strings.Join(v, ",")
		}
	}
	return ""
}

func bodyOf(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func wantStatus(t *testing.T, r *http.Response, status int) {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("status %d, want %d; body %s", r.StatusCode, status, bodyOf(t, r))
	}
}

// wantProblem wants a problem of the code in the format of RFC 9457, with the texts in its detail.
func wantProblem(t *testing.T, r *http.Response, status int, code api.Code, naming ...string) map[string]any {
	t.Helper()
	wantStatus(t, r, status)
	if ct := header(r, "Content-Type"); ct != "application/problem+json" {
		t.Fatalf("content type %q", ct)
	}
	var p map[string]any
	if err := json.Unmarshal([]byte(bodyOf(t, r)), &p); err != nil {
		t.Fatal(err)
	}
	if p["code"] != string(code) || p["status"] != float64(status) || p["applied"] != code.Applied() {
		t.Fatalf("problem %v, want code %s, status %d, applied %s", p, code, status, code.Applied())
	}
	if p["type"] == "" || p["title"] == "" {
		t.Errorf("problem %v has no type or no title", p)
	}
	for _, n := range naming {
		if !strings.Contains(p["detail"].(string), n) {
			t.Errorf("detail %q does not name %q", p["detail"], n)
		}
	}
	return p
}

func put(t *testing.T, h http.Handler, key, value string) (version string) {
	t.Helper()
	r := request(h, "PUT", "/v1/kv/"+key, value)
	wantStatus(t, r, 200)
	return header(r, "Edgehold-Version")
}

func TestNothingHere(t *testing.T) {
	h, _ := memoryAPI()
	for _, path := range []string{
		"/", "/v1", "/v1/", "/v1/txn/", "/v1/watch", "/v1/semaphores/a", "/openapi.json/", "/v1/kvx", "/v2/kv/a", "/V1/kv/a",
		"/v1%2Fkv/a", "/%761/kv/a", "//v1/kv/a", "/v1//kv/a", "/v1/../v1/kv/a", "/v1/cluster", "/v1/cluster/", "/metrics", "/livez/",
	} {
		p := wantProblem(t, request(h, "GET", path, ""), 404, api.CodeNotFound)
		if p["version"] != nil || p["key"] != nil {
			t.Errorf("%s: a path that does not exist is reported as a key: %v", path, p)
		}
	}
}

func TestMethods(t *testing.T) {
	h, _ := memoryAPI(func(c *front.Config) { c.Admin = &fakeAdmin{} })
	for path, allow := range map[string]string{
		"/v1/kv/a":              "GET, HEAD, PUT, DELETE",
		"/v1/kv":                "GET, HEAD",
		"/v1/cluster":           "GET, HEAD",
		"/v1/cluster/placement": "POST",
		"/v1/txn":               "POST",
		"/livez":                "GET, HEAD",
	} {
		for _, m := range []string{"PATCH", "OPTIONS", "TRACE", "QUERY"} {
			r := request(h, m, path, "")
			if header(r, "Allow") != allow {
				t.Errorf("%s: Allow is %q, want %q", path, header(r, "Allow"), allow)
			}
			wantProblem(t, r, 405, api.CodeInvalid, allow)
		}
	}
}

func TestEveryAnswerSaysWho(t *testing.T) {
	h, _ := memoryAPI()
	for _, path := range []string{"/v1/kv/a", "/v1/kv", "/nothing", "/livez", "/v1/kv/"} {
		r := request(h, "GET", path, "")
		if header(r, "Edgehold-Node") != "us-east-1" || header(r, "Cache-Control") != "no-store" || header(r, "X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, r.Header)
		}
	}
}

func TestQuery(t *testing.T) {
	h, _ := memoryAPI()
	put(t, h, "a", "x")
	for query, naming := range map[string]string{
		"ttl=30s":                              `unknown query parameter "ttl"`,
		"z=1&b=2":                              `"b", "z"`,
		"consistency=quorum&consistency=stale": "more than once",
		"consistency=eventual":                 "linearizable",
		"consistency=":                         "linearizable",
		"consistency=bounded":                  "max_stale",
		"max_stale=5s":                         "consistency=bounded",
		"consistency=bounded&max_stale=x":      "max_stale",
		"consistency=bounded&max_stale=-1s":    "negative",
		"timeout=0":                            "timeout",
		"timeout=-1s":                          "timeout",
		"timeout=1h":                           "timeout",
		"timeout=soon":                         "timeout",
		"timeout=NaN":                          "timeout",
		"timeout=":                             "timeout",
		"a;b":                                  "malformed",
		"timeout=%zz":                          "malformed",
	} {
		wantProblem(t, request(h, "GET", "/v1/kv/a?"+query, ""), 400, api.CodeInvalid, naming)
	}
	for _, query := range []string{
		"", "?", "?timeout=5", "?timeout=0.5", "?timeout=1500ms", "?consistency=quorum", "?consistency=stale",
		"?consistency=bounded&max_stale=5s", "?consistency=bounded&max_stale=0&timeout=1m",
	} {
		wantStatus(t, request(h, "GET", "/v1/kv/a"+query, ""), 200)
	}
	wantProblem(t, request(h, "PUT", "/v1/kv/a?consistency=stale", "y"), 400, api.CodeInvalid, "consistency")
	if got := bodyOf(t, request(h, "GET", "/v1/kv/a", "")); got != "x" {
		t.Errorf("a refused write changed the value to %q", got)
	}
}

// TestErrors: each error of the Store becomes the problem that says what it means to the client.
func TestErrors(t *testing.T) {
	type row struct {
		err    error
		status int
		code   api.Code
	}
	for name, c := range map[string]struct{ read, write row }{
		"unavailable": {
			row{api.Errorf(api.CodeUnavailable, "no quorum"), 503, api.CodeUnavailable},
			row{api.Errorf(api.CodeUnavailable, "no quorum"), 503, api.CodeUnavailable},
		},
		"ambiguous":        {row{api.CodeAmbiguous, 504, api.CodeAmbiguous}, row{api.CodeAmbiguous, 504, api.CodeAmbiguous}},
		"between nodes":    {row{api.CodeNotLeader, 503, api.CodeUnavailable}, row{&api.Error{Code: api.CodeWrongGroup}, 503, api.CodeUnavailable}},
		"session dead":     {row{api.CodeSessionDead, 503, api.CodeUnavailable}, row{api.CodeSessionDead, 503, api.CodeUnavailable}},
		"conflict":         {row{api.CodeConflict, 409, api.CodeConflict}, row{api.CodeConflict, 409, api.CodeConflict}},
		"internal":         {row{api.CodeInternal, 500, api.CodeInternal}, row{api.CodeInternal, 500, api.CodeInternal}},
		"bare deadline":    {row{context.DeadlineExceeded, 503, api.CodeUnavailable}, row{context.DeadlineExceeded, 504, api.CodeAmbiguous}},
		"unexplained":      {row{io.ErrUnexpectedEOF, 500, api.CodeInternal}, row{io.ErrUnexpectedEOF, 504, api.CodeAmbiguous}},
		"of unknown code":  {row{api.Code("new"), 500, api.CodeInternal}, row{api.Code("new"), 500, api.CodeInternal}},
		"denied and so on": {row{api.CodeDenied, 403, api.CodeDenied}, row{api.CodeUnauthenticated, 401, api.CodeUnauthenticated}},
	} {
		t.Run(name, func(t *testing.T) {
			h := around(httpd.New(front.New(front.Config{Store: fake{ // not checked: no Store gives a read each of these errors
				read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) { return nil, c.read.err },
				do:   func(context.Context, *api.Txn) (*api.TxnResult, error) { return nil, c.write.err },
			}}), httpd.Config{}))
			for method, want := range map[string]row{"GET": c.read, "PUT": c.write, "DELETE": c.write} {
				r := request(h, method, "/v1/kv/a", "")
				p := wantProblem(t, r, want.status, want.code)
				if p["key"] != "a" {
					t.Errorf("%s: the problem names key %v", method, p["key"])
				}
				if (want.status == 503) != (header(r, "Retry-After") != "") {
					t.Errorf("%s: Retry-After is %q", method, header(r, "Retry-After"))
				}
			}
		})
	}
}

// TestUnknownOutcomeSaysWhatToDo: the Store returned that the outcome is unknown, or the time was up.
func TestUnknownOutcomeSaysWhatToDo(t *testing.T) {
	for _, err := range []error{api.Errorf(api.CodeAmbiguous, "the leader is gone"), context.DeadlineExceeded} {
		h := newAPI(front.Config{Store: fake{do: func(context.Context, *api.Txn) (*api.TxnResult, error) { return nil, err }}}, httpd.Config{})
		p := wantProblem(t, request(h, "PUT", "/v1/kv/a", ""), 504, api.CodeAmbiguous)
		if title, _ := p["title"].(string); !strings.Contains(title, "Idempotency-Key") || p["applied"] != "unknown" {
			t.Errorf("after %v the problem is %v", err, p)
		}
	}
}

func TestProblemNamesAnyKey(t *testing.T) {
	h, _ := memoryAPI()
	if p := wantProblem(t, request(h, "GET", "/v1/kv/%ff", ""), 404, api.CodeNotFound); p["key_base64"] != "/w==" || p["key"] != nil {
		t.Errorf("problem %v", p)
	}
	if p := wantProblem(t, request(h, "GET", "/v1/kv/"+strings.Repeat("k", 5000), ""), 413, api.CodeTooLarge, "4096", "5000"); p["key"] != nil {
		t.Error("a key over the limit is repeated")
	}
	wantProblem(t, request(h, "GET", "/v1/kv/", ""), 400, api.CodeInvalid, "empty")
	wantProblem(t, request(h, "PUT", "/v1/kv/", "x"), 400, api.CodeInvalid, "empty")
	wantProblem(t, request(h, "DELETE", "/v1/kv/", ""), 400, api.CodeInvalid, "empty")
}

func TestOtherOriginMayNotWrite(t *testing.T) {
	h, _ := memoryAPI(func(c *front.Config) { c.Admin = &fakeAdmin{} })
	wantProblem(t, request(h, "POST", "/v1/cluster/placement", "{}", "Sec-Fetch-Site: cross-site"), 403, api.CodeDenied)
	wantProblem(t, request(h, "PUT", "/v1/kv/a", "x", "Origin: https://evil.example"), 403, api.CodeDenied)
	wantStatus(t, request(h, "PUT", "/v1/kv/a", "x", "Sec-Fetch-Site: same-origin"), 200)
}

// sorted are the keys of m, for messages.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
