package client

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// oneToken is an Access that knows one token, which may do everything.
type oneToken struct {
	token atomic.Pointer[string]
	asked atomic.Int64
}

var errToken = &api.Error{Code: api.CodeUnauthenticated, Hint: "the token is not known here"}

func (o *oneToken) Authenticate(credential, _ string) (*front.Principal, error) {
	o.asked.Add(1)
	if credential != *o.token.Load() {
		return nil, errToken
	}
	return &front.Principal{Name: "app", Grant: credential}, nil
}

func (o *oneToken) Check(p *front.Principal) error {
	if p.Grant != *o.token.Load() {
		return errToken
	}
	return nil
}

func (o *oneToken) Enter(p *front.Principal, _ int64) error                           { return o.Check(p) }
func (o *oneToken) Charge(*front.Principal, int64)                                    {}
func (o *oneToken) Holds(*front.Principal, front.Right, api.Key) bool                 { return true }
func (o *oneToken) AllowKey(*front.Principal, string, front.Right, api.Key) error     { return nil }
func (o *oneToken) AllowRange(*front.Principal, string, front.Right, api.Range) error { return nil }
func (o *oneToken) AllowCluster(*front.Principal, string, front.Right, string) error  { return nil }
func (o *oneToken) Changes() uint64                                                   { return 0 }
func (o *oneToken) Describe(p *front.Principal) (*api.Self, error) {
	return &api.Self{Principal: p.Name}, nil
}

// TestTokenFile: a client whose token is no longer known reads its file again, once a refusal, and goes on with the new one; over
// streams and over plain HTTP, with many calls at once.
func TestTokenFile(t *testing.T) {
	for _, plain := range []bool{true, false} {
		access := new(oneToken)
		rotate := func(to string) { access.token.Store(&to) }
		rotate("first")
		s := httptest.NewServer(httpd.New(front.New(front.Config{Store: storetest.NewMemory(), Access: access}), httpd.Config{}))
		defer s.Close()
		file := filepath.Join(t.TempDir(), "token")
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("first\n")
		c, err := Open(t.Context(), Config{Endpoints: []string{s.URL}, TokenFile: file, PlainHTTP: plain})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		put := func() error { _, err := c.Put(t.Context(), "k", []byte("v")); return err }
		if err := put(); err != nil {
			t.Fatal(err)
		}
		rotate("second")
		asked := access.asked.Load()
		if err := put(); api.CodeOf(err) != api.CodeUnauthenticated {
			t.Errorf("with an old file: %v", err)
		}
		if n := access.asked.Load() - asked; n > 2 {
			t.Errorf("a token that is not known was shown %d times", n)
		}
		write("second")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := put(); err != nil {
					t.Errorf("with a new file: %v", err)
				}
			})
		}
		all.Wait()
		if self, err := c.Self(t.Context()); err != nil || self.Principal != "app" {
			t.Errorf("self: %+v, %v", self, err)
		}
	}
}

// TestTokenConfig: a token file must be there, and goes with no other token.
func TestTokenConfig(t *testing.T) {
	at := []string{"http://127.0.0.1:1"}
	for _, cfg := range []Config{
		{Endpoints: at, TokenFile: filepath.Join(t.TempDir(), "none")}, {Endpoints: at, Token: "x", TokenFile: os.DevNull},
	} {
		if _, err := Open(t.Context(), cfg); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// TestLimited: a call that is over its token's rate is tried again after the time that the node names, at the same node, which does
// not count as failed.
func TestLimited(t *testing.T) {
	var refused atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused.Add(1) <= 4 {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write([]byte(`{"code":"limited","applied":"no","status":429,"retry_after":0.001}`))
			return
		}
		w.Header().Set("Edgehold-Version", "1.1")
		_, _ = w.Write([]byte("v"))
	}))
	defer s.Close()
	c := open(t, Config{Endpoints: []string{s.URL}, PlainHTTP: true})
	if v, err := c.Get(t.Context(), "k"); err != nil || string(v.Value) != "v" || c.endpoints.all[0].failures != 0 {
		t.Errorf("%+v, %v, the node failed %d times", v, err, c.endpoints.all[0].failures)
	}
}
