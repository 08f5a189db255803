package door_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/api/storetest"
)

// gate is an Access that knows one token, and notes what it is asked.
type gate struct {
	asked *[]string
	check error
}

func (g gate) note(format string, args ...any) {
	*g.asked = append(*g.asked, fmt.Sprintf(format, args...))
}

func (g gate) Authenticate(credential, _ string) (*front.Principal, error) {
	g.note("authenticate")
	if credential != "token" {
		return nil, api.Errorf(api.CodeUnauthenticated, "the token is not known")
	}
	return &front.Principal{Name: "ann"}, nil
}
func (g gate) Check(p *front.Principal) error      { g.note("check %s", p.Name); return g.check }
func (g gate) Enter(*front.Principal, int64) error { return nil }
func (g gate) Charge(*front.Principal, int64)      {}
func (g gate) AllowKey(p *front.Principal, _ string, r front.Right, k api.Key) error {
	g.note("%s may %v %s", p.Name, r, k)
	return nil
}
func (g gate) Holds(*front.Principal, front.Right, api.Key) bool                 { return true }
func (g gate) AllowRange(*front.Principal, string, front.Right, api.Range) error { return nil }
func (g gate) AllowCluster(*front.Principal, string, front.Right, string) error  { return nil }
func (g gate) Changes() uint64                                                   { return 0 }
func (g gate) Describe(*front.Principal) (*api.Self, error)                      { return nil, nil }

// counted notes the requests that were counted.
type counted struct {
	observe.NoMetrics
	requests *[]string
}

func (c counted) Counter(name, help string, labels ...string) func(float64, ...string) {
	if name != "edgehold_front_requests_total" {
		return c.NoMetrics.Counter(name, help, labels...)
	}
	return func(_ float64, values ...string) { *c.requests = append(*c.requests, strings.Join(values, " ")) }
}

// echo is a front whose paths are keys: it answers with the value of a key, and PUT writes the body.
func echo(serve func(x *door.Exchange) error) door.Front {
	return door.Front{
		Name: "echo",
		Look: func(r *http.Request) (door.Request, error) {
			q := door.Request{Route: "key", Ask: front.Ask{Key: api.Key(r.URL.Path[1:]), Writes: r.Method == http.MethodPut}}
			if r.Method == http.MethodPatch {
				return door.Request{}, api.Errorf(api.CodeInvalid, "no such method")
			}
			return q, nil
		},
		Serve: serve,
		Fail: func(x *door.Exchange, status int, e *api.Error) {
			x.Reply(status, -1)
			_, _ = io.WriteString(x.W, string(e.Code)+" "+e.Applied()+" "+e.Hint)
		},
	}
}

func serveKey(x *door.Exchange) error {
	k := api.Key(x.R.URL.Path[1:])
	if x.R.Method == http.MethodPut {
		v, err := x.Body(10, "value")
		if err != nil {
			return err
		}
		if _, err := x.Store.Do(x.Ctx, &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: v}}}); err != nil {
			return err
		}
	}
	var out api.ReadResult
	if err := x.Store.Read(x.Ctx, &api.ReadRequest{Keys: []api.Key{k}}, &out); err != nil {
		return err
	}
	x.Reply(http.StatusOK, len(out.Entries[0].Value))
	_, _ = x.W.Write(out.Entries[0].Value)
	return nil
}

func ask(h http.Handler, method, path, body string, lines ...string) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func bodyOf(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const token = "Authorization: Bearer token"

// TestOrder: a request is checked for its credential, then for any right at all, then for rights on keys, in this order, and
// each refusal ends it. Every request is counted.
func TestOrder(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, body string
		lines              []string
		check              error
		status             int
		says, asked, count string
	}{
		"served":            {"PUT", "/k", "value", []string{token}, nil, 200, "value", "authenticate, check ann, ann may write k, ann may read k", "echo key 200"},
		"without a token":   {"PUT", "/k", "value", nil, nil, 401, "unauthenticated no", "authenticate", "echo key 401"},
		"a wrong token":     {"PUT", "/k", "value", []string{"Authorization: Bearer x"}, nil, 401, "unauthenticated no", "authenticate", "echo key 401"},
		"a token twice":     {"PUT", "/k", "value", []string{token, token}, nil, 400, "more than once", "", "echo key 400"},
		"a token in a URL":  {"PUT", "/k?token=x", "value", nil, nil, 400, "never stands in a URL", "", "echo key 400"},
		"revoked since":     {"GET", "/k", "", []string{token}, api.Errorf(api.CodeUnauthenticated, "revoked"), 401, "revoked", "authenticate, check ann", "echo key 401"},
		"another origin":    {"PUT", "/k", "value", []string{token, "Sec-Fetch-Site: cross-site"}, nil, 403, "another origin", "authenticate", "echo key 403"},
		"too large":         {"PUT", "/k", "value that is long", []string{token}, nil, 413, "value of 18 bytes is over the limit of 10 bytes", "authenticate, check ann", "echo key 413"},
		"encoded":           {"PUT", "/k", "value", []string{token, "Content-Encoding: gzip"}, nil, 415, "Content-Encoding", "authenticate, check ann", "echo key 415"},
		"what it cannot be": {"PATCH", "/k", "", nil, nil, 400, "no such method", "", "echo none 400"},
	} {
		var asked, requests []string
		h := door.Handler(front.New(front.Config{
			Store: storetest.NewMemory(), Node: "n1", Access: gate{&asked, c.check}, Metrics: counted{requests: &requests},
		}), echo(serveKey))
		r := ask(h, c.method, c.path, c.body, c.lines...)
		if body := bodyOf(t, r); r.StatusCode != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %q, want %d %q", name, r.StatusCode, body, c.status, c.says)
		}
		if got := strings.Join(asked, ", "); got != c.asked {
			t.Errorf("%s: asked %q, want %q", name, got, c.asked)
		}
		if !slices.Equal(requests, []string{c.count}) {
			t.Errorf("%s: counted as %q, want %q", name, requests, c.count)
		}
		if r.Header.Get("Edgehold-Node") != "n1" || r.Header.Get("Cache-Control") != "no-store" || (r.StatusCode == 401) != (r.Header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: the headers are %v", name, r.Header)
		}
	}
}

// TestNoRoom: a request for which there is no room is refused after it has waited, with a time to stay away, and its handler is not
// called.
func TestNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := &api.Error{Code: api.CodeUnavailable, Hint: "full"}
		h := door.Handler(front.New(front.Config{
			Store: storetest.NewMemory(),
			Classify: func(api.Key, bool, api.Consistency, int) (admission.Class, *api.Error) {
				return admission.Request, full
			},
		}), echo(func(*door.Exchange) error { t.Error("it was served"); return nil }))
		r := ask(h, "GET", "/k", "")
		if r.StatusCode != 503 || r.Header.Get("Retry-After") != "1" || r.Header.Get("Connection") != "close" {
			t.Errorf("%d, %v", r.StatusCode, r.Header)
		}
	})
}

// TestPanics: a panic is the failure of its request, whose outcome is unknown; the place of the request is free again. An answer that
// has begun is cut off.
func TestPanics(t *testing.T) {
	reported := 0
	h := door.Handler(front.New(front.Config{
		Store:  storetest.NewMemory(),
		Faults: fault.NewCatcher(observe.NoMetrics{}, func(string, ...any) { reported++ }),
		Room:   admission.New(admission.Config{Shares: admission.Shares{admission.Request: 1}}),
	}), echo(func(x *door.Exchange) error {
		if x.R.URL.Path == "/late" {
			x.Reply(http.StatusOK, -1)
		}
		panic("a fault")
	}))
	for range 3 {
		r := ask(h, "PUT", "/k", "v")
		if body := bodyOf(t, r); r.StatusCode != 500 || !strings.HasPrefix(body, "internal unknown") {
			t.Errorf("%d %s", r.StatusCode, body)
		}
	}
	func() {
		defer func() {
			p := recover()
			if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("an answer that had begun ended with %v", p)
			}
		}()
		ask(h, "PUT", "/late", "v")
	}()
	if reported != 4 {
		t.Errorf("%d panics are reported, of 4", reported)
	}
}

// TestErrorsOfWrites: an error that does not say whether a write happened is ambiguous, and of a read it is not.
func TestErrorsOfWrites(t *testing.T) {
	for _, c := range []struct {
		err    error
		writes bool
		code   api.Code
	}{
		{context.DeadlineExceeded, true, api.CodeAmbiguous},
		{context.DeadlineExceeded, false, api.CodeUnavailable},
		{io.ErrUnexpectedEOF, true, api.CodeAmbiguous},
		{io.ErrUnexpectedEOF, false, api.CodeInternal},
		{api.CodeNotLeader, true, api.CodeUnavailable},
		{&api.Error{Code: "a new code"}, false, api.CodeInternal},
		{api.Errorf(api.CodeTooLarge, "x"), true, api.CodeTooLarge},
	} {
		if e := door.Explain(c.err, c.writes); e.Code != c.code {
			t.Errorf("%v (writes: %v) is %s, want %s", c.err, c.writes, e.Code, c.code)
		}
	}
}

// TestGuessing: after ten wrong tokens in a row a connection is closed; a request that is let in ends the row.
func TestGuessing(t *testing.T) {
	var asked []string
	h := door.Handler(front.New(front.Config{Store: storetest.NewMemory(), Access: gate{asked: &asked}}), echo(serveKey))
	conn := door.WithConn(t.Context(), nil)
	closed := func(lines ...string) bool {
		r := httptest.NewRequest("GET", "/k", nil).WithContext(conn)
		for _, l := range lines {
			r.Header.Set("Authorization", l)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Header().Get("Connection") == "close"
	}
	for i := range 9 {
		if closed("Bearer wrong") {
			t.Fatalf("closed after %d", i+1)
		}
	}
	closed("Bearer token")
	for i := range 10 {
		if got := closed("Bearer wrong"); got != (i == 9) {
			t.Errorf("after %d more in a row it is closed: %v", i+1, got)
		}
	}
	asked = nil
	closed("Bearer token")
	closed("Bearer token")
	if got := strings.Join(asked, ", "); got != "check ann, ann may read k, check ann, ann may read k" {
		t.Errorf("requests with a token that is known on its connection are asked %q", got)
	}
}
