package workerskv_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/api/workerskv"
)

// broken is a store whose every answer is an error.
type broken struct{ err error }

func (b broken) Read(context.Context, *api.ReadRequest, *api.ReadResult) error { return b.err }

func (b broken) Do(context.Context, *api.Txn) (*api.TxnResult, error) { return nil, b.err }

func (b broken) List(context.Context, *api.ListRequest) (*api.ListResult, error) { return nil, b.err }

// TestErrors: what goes wrong behind the front has a status that a binding throws, with the reason phrase of the status, and whose body says
// whether a write happened.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err        error
		read, list int
		write      int
		says       string // of a write
	}{
		{&api.Error{Code: api.CodeUnavailable, Hint: "no quorum"}, 503, 503, 503, "no quorum"},
		{&api.Error{Code: api.CodeDenied}, 403, 403, 403, "Forbidden"},
		{&api.Error{Code: api.CodeLimited, Hint: "slower"}, 429, 429, 429, "slower"},
		{&api.Error{Code: api.CodeAmbiguous, Hint: "it may be"}, 504, 504, 504, "it may be (the write may have been applied)"},
		{&api.Error{Code: api.CodeInvalid, Hint: "split"}, 400, 400, 400, "split"},
		{errors.New("a fault"), 500, 500, 504, "(the write may have been applied)"},
	} {
		s := start(t, func(f *front.Config) { f.Store, f.Lister = broken{c.err}, broken{c.err} })
		for _, ask := range []struct {
			method, target string
			want           int
		}{{"GET", "/k", c.read}, {"GET", "/", c.list}, {"PUT", "/k", c.write}, {"DELETE", "/k", c.write}} {
			got := s.ask(ask.method, ask.target, "")
			if got.status != ask.want || ask.want != 400 && got.phrase != http.StatusText(ask.want) {
				t.Errorf("%v: %s %s is answered %d %s, want %d", c.err, ask.method, ask.target, got.status, got.phrase, ask.want)
			}
			if ask.method != "GET" && !strings.Contains(got.body, c.says) {
				t.Errorf("%v: %s says %q, want %q", c.err, ask.method, got.body, c.says)
			}
			if asks := got.header.Get("Retry-After") != ""; asks != (ask.want == 503 || ask.want == 429) {
				t.Errorf("%v: Retry-After is %q", c.err, got.header.Get("Retry-After"))
			}
		}
	}
}

// TestRefusedConnection: after a refusal in words of its own the connection is closed, and says so; after another refusal it goes on.
func TestRefusedConnection(t *testing.T) {
	s := start(t)
	if got := s.ask("PUT", "/k?expiration_ttl=0", "v"); !got.closes {
		t.Errorf("%d %s: the connection goes on: %v", got.status, got.phrase, got.header)
	}
	if got := s.ask("GET", "/absent", ""); got.closes {
		t.Errorf("%d %s: the connection ends", got.status, got.phrase)
	}
}

// TestHTTP2: over HTTP/2, which has no reason phrases, a refusal is an answer like any other.
func TestHTTP2(t *testing.T) {
	m := storetest.NewMemory()
	s := httptest.NewUnstartedServer(workerskv.New(front.New(front.Config{Store: m, Lister: m})))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	for _, c := range []struct {
		target, body string
		want         int
		says         string
	}{
		{"/workers-kv/NS/k", "v", 200, ""},
		{"/workers-kv/NS/k?expiration_ttl=0", "v", 400, "Invalid expiration_ttl of 0."},
		{"/workers-kv/NS/k", strings.Repeat("v", 3<<20), 413, "Value length of 3145728 exceeds limit of 1048576."},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+c.target, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close() // it has been read
		if err != nil || res.ProtoMajor != 2 || res.StatusCode != c.want || !strings.HasPrefix(string(body), c.says) {
			t.Errorf("%s: %s %s, %q, %v", c.target, res.Proto, res.Status, body, err)
		}
	}
}
