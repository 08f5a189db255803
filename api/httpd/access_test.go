package httpd_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/lock"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/api/wire"
	"github.com/edgehold/edgehold/cluster/access/accesstest"
)

// TestAccessOverHTTP is the HTTP API in the table of rights and verbs. Attack 29, Attack 30, Attack 32.
func TestAccessOverHTTP(t *testing.T) { accesstest.Run(t, overHTTP) }

// TestAccessOverCalls is the stream of calls in the table of rights and verbs. Attack 29, Attack 30, Attack 32.
func TestAccessOverCalls(t *testing.T) { accesstest.Run(t, overCalls) }

// speaker sends requests with a token to a handler.
type speaker struct {
	h     http.Handler
	token string
}

func overHTTP(t *testing.T, b *front.Backend, token string) *accesstest.Client {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {})
	s := &speaker{httpd.New(b, httpd.Config{Metrics: metrics}), token}
	server := httptest.NewServer(s.h)
	t.Cleanup(server.Close)
	watches := &httpStore{url: server.URL, token: token}
	return &accesstest.Client{Read: s.read, Do: s.do, List: s.list, Watch: watches.Watch, More: s.more()}
}

// ask sends a request and returns the error that its problem is.
func (s *speaker) ask(method, target string, body []byte, lines ...string) (http.Header, []byte, error) {
	r := httptest.NewRequest(method, target, bytes.NewReader(body))
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	if w.Code < 400 {
		return w.Header(), w.Body.Bytes(), nil
	}
	var p struct {
		Code   api.Code `json:"code"`
		Detail string   `json:"detail"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		return nil, nil, fmt.Errorf("%d %s", w.Code, w.Body)
	}
	e := &api.Error{Code: p.Code, Hint: p.Detail}
	e.Version, _ = api.ParseVersion(w.Header().Get("Edgehold-Version"))
	return w.Header(), w.Body.Bytes(), e
}

func (s *speaker) read(ctx context.Context, r *api.ReadRequest) (*api.ReadResult, error) {
	if len(r.Keys) == 1 {
		_, _, err := s.ask("GET", "/v1/kv/"+url.PathEscape(string(r.Keys[0])), nil)
		return &api.ReadResult{}, err
	}
	t := &api.Txn{}
	for _, k := range r.Keys {
		t.Then = append(t.Then, api.Op{Kind: api.OpGet, Key: k})
	}
	_, err := s.do(ctx, t)
	return &api.ReadResult{}, err
}

func (s *speaker) list(_ context.Context, r *api.ListRequest) (*api.ListResult, error) {
	q := url.Values{"start": {string(r.Range.Start)}, "end": {string(r.Range.End)}, "keys_only": {fmt.Sprint(r.KeysOnly)}}
	_, _, err := s.ask("GET", "/v1/kv?"+q.Encode(), nil)
	return &api.ListResult{}, err
}

func (s *speaker) do(_ context.Context, t *api.Txn) (*api.TxnResult, error) {
	body := map[string]any{"if": condsJSON(t.If), "then": opsJSON(t.Then), "else": opsJSON(t.Else)}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	var lines []string
	if !t.ID.IsZero() {
		lines = append(lines, "Idempotency-Key: "+t.ID.IdempotencyKey())
	}
	header, raw, err := s.ask("POST", "/v1/txn", raw, lines...)
	if err != nil {
		return nil, err
	}
	var out struct {
		Results []struct {
			Value string `json:"value"`
		} `json:"results"`
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, err
	}
	res := &api.TxnResult{Replayed: header["Edgehold-Replayed"] != nil}
	for _, r := range out.Results {
		res.Entries = append(res.Entries, api.Entry{Value: []byte(r.Value)})
	}
	return res, nil
}

func condsJSON(conds []api.Cond) []any {
	all := []any{}
	for _, c := range conds {
		m := map[string]any{"key": c.Key}
		switch c.Kind {
		case api.CondVersion:
			m["version"] = c.Version.String()
		case api.CondValue:
			m["value"] = string(c.Value)
		default:
			m["exists"] = c.Kind == api.CondExists
		}
		all = append(all, m)
	}
	return all
}

func opsJSON(ops []api.Op) []any {
	all := []any{}
	for _, o := range ops {
		m := map[string]any{"key": o.Key}
		if o.TTL != 0 {
			m["ttl"] = o.TTL.String()
		}
		if o.KeepTTL {
			m["keep_ttl"] = true
		}
		switch {
		case o.Kind == api.OpList:
			m = map[string]any{"prefix": o.Key, "limit": o.Limit}
		case o.HasValue():
			m["value"] = string(o.Value)
		case o.Kind == api.OpAdd:
			m["delta"] = fmt.Sprint(o.Delta)
		}
		name := map[api.OpKind]string{api.OpGet: "get", api.OpPut: "put", api.OpDelete: "delete", api.OpAdd: "add", api.OpAppendIfAbsent: "append_if_absent", api.OpTouch: "touch", api.OpList: "list",
			api.OpAppend: "append", api.OpSum64: "sum64", api.OpMin64: "min64", api.OpMax64: "max64"}[o.Kind]
		all = append(all, map[string]any{name: m})
	}
	return all
}

// more are the verbs that only HTTP has: methods of keys with their conditions, and the cluster.
func (s *speaker) more() (all []accesstest.Verb) {
	verb := func(name string, needs []accesstest.Need, method, target, body string, lines ...string) {
		all = append(all, accesstest.Verb{Name: name, Needs: needs, Ask: func(context.Context, *accesstest.Client) error {
			_, _, err := s.ask(method, target, []byte(body), lines...)
			return err
		}})
	}
	for _, k := range []api.Key{accesstest.Inside, accesstest.InsideAbsent, accesstest.Outside, accesstest.OutsideAbsent} {
		at := "/v1/kv/" + string(k)
		read, write := accesstest.Need{Right: front.Read, Key: k}, accesstest.Need{Right: front.Write, Key: k}
		verb("PUT "+at, []accesstest.Need{write}, "PUT", at, "v")
		verb("DELETE "+at, []accesstest.Need{write}, "DELETE", at, "")
		verb("HEAD "+at, []accesstest.Need{read}, "GET", at, "", "If-None-Match: *")
		verb("stale GET "+at, []accesstest.Need{read}, "GET", at+"?consistency=stale", "")
		for _, condition := range []string{"If-Match: *", `If-Match: "1.1"`, `If-Match: W/"1.1"`, "If-None-Match: *", `If-None-Match: "0.1"`} {
			verb("PUT "+condition+" "+at, []accesstest.Need{write, read}, "PUT", at, "v", condition)
			verb("DELETE "+condition+" "+at, []accesstest.Need{write, read}, "DELETE", at, "", condition)
		}
	}
	for _, name := range []string{"in/l", "out/l"} {
		at, entry, held := "/v1/locks/"+name, lock.Key(name, lock.IDOf("", "")), `{"id":"`+lock.IDOf("", "")+`","fence":1}`
		all := api.PrefixRange(lock.Directory(name))
		write := []accesstest.Need{{Right: front.Write, Key: entry}}
		verb("lock "+name, write, "POST", at, `{"ttl":"1h"}`)
		verb("renew "+name, write, "PUT", at, held)
		verb("release "+name, write, "DELETE", at, held)
		verb("show the lock "+name, []accesstest.Need{{Right: front.List, Range: all}, {Right: front.Read, Range: all}}, "GET", at, "")
	}
	observe, admin := []accesstest.Need{{Right: front.Observe}}, []accesstest.Need{{Right: front.Administer}}
	verb("status", observe, "GET", "/v1/cluster", "")
	verb("live", observe, "GET", "/v1/cluster/live", "")
	verb("metrics", observe, "GET", "/metrics", "")
	verb("placement", admin, "POST", "/v1/cluster/placement", `{"prefix":"p/","region":"r"}`)
	verb("livez", nil, "GET", "/livez", "")
	verb("readyz", nil, "GET", "/readyz", "")
	return all
}

// overCalls opens a stream with the token. A stream that is refused at the Upgrade refuses every call.
func overCalls(t *testing.T, b *front.Backend, token string) *accesstest.Client {
	t.Helper()
	c, err := streamAs(t, httpd.New(b, httpd.Config{}), token)
	return &accesstest.Client{
		Read: func(ctx context.Context, r *api.ReadRequest) (*api.ReadResult, error) {
			if err != nil {
				return nil, err
			}
			out := new(api.ReadResult)
			return out, c.Read(ctx, r, out)
		},
		Do: func(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
			if err != nil {
				return nil, err
			}
			return c.Do(ctx, t)
		},
	}
}

// streamAs opens a stream with a token; the error is the answer to the Upgrade.
func streamAs(t *testing.T, h http.Handler, token string) (*wire.Client, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httpd.Serve(l, httpd.ServerConfig{Handler: h})
	t.Cleanup(func() { _ = s.Close(time.Second) })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	authorization := ""
	if token != "" {
		authorization = "Authorization: Bearer " + token + "\r\n"
	}
	if _, err := conn.Write([]byte("GET /v1/calls HTTP/1.1\r\nHost: n1\r\nConnection: Upgrade\r\nUpgrade: " + wire.Protocol + "\r\n" + authorization + "\r\n")); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		defer func() { _ = conn.Close() }()
		var p struct {
			Code   api.Code `json:"code"`
			Detail string   `json:"detail"`
		}
		if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
			t.Fatal(err)
		}
		return nil, &api.Error{Code: p.Code, Hint: p.Detail}
	}
	c := wire.NewClient(conn, wire.ClientConfig{})
	t.Cleanup(func() { _ = c.Close() })
	return c, nil
}

// knows is an Access that knows one token.
type knows struct{ token atomic.Pointer[string] }

func newKnows(token string) *knows {
	k := new(knows)
	k.know(token)
	return k
}

// know makes the token the one that is known.
func (k *knows) know(token string) { k.token.Store(&token) }

var errUnknown = &api.Error{Code: api.CodeUnauthenticated, Hint: "the token is not known here"}

func (k *knows) Authenticate(credential, from string) (*front.Principal, error) {
	switch credential {
	case "":
		return &front.Principal{From: from}, nil
	case *k.token.Load():
		return &front.Principal{Name: "app", From: from, Grant: credential}, nil
	}
	return nil, errUnknown
}

func (k *knows) Check(p *front.Principal) error {
	switch p.Grant {
	case nil:
		return &api.Error{Code: api.CodeUnauthenticated, Hint: "a token is needed"}
	case *k.token.Load():
		return nil
	}
	return errUnknown
}
func (k *knows) Enter(p *front.Principal, _ int64) error                 { return k.Check(p) }
func (k *knows) Charge(*front.Principal, int64)                          {}
func (k *knows) Holds(p *front.Principal, _ front.Right, _ api.Key) bool { return k.Check(p) == nil }
func (k *knows) AllowKey(p *front.Principal, _ string, _ front.Right, _ api.Key) error {
	return k.Check(p)
}
func (k *knows) AllowRange(p *front.Principal, _ string, _ front.Right, _ api.Range) error {
	return k.Check(p)
}
func (k *knows) AllowCluster(p *front.Principal, _ string, _ front.Right, _ string) error {
	return k.Check(p)
}
func (k *knows) Changes() uint64 { return 0 }
func (k *knows) Describe(p *front.Principal) (*api.Self, error) {
	return &api.Self{Principal: p.Name}, nil
}

// TestCredentials: a token is taken from one Authorization header alone, and is looked at before the body.
//
// Attack 27: two headers, in the query, as a cookie, Basic.
func TestCredentials(t *testing.T) {
	h := newAPI(front.Config{Store: storetest.NewMemory(), Lister: storetest.NewMemory(), Access: newKnows("tok")}, httpd.Config{})
	for _, c := range []struct {
		what, target string
		lines        []string
		status       int
		says         string
	}{
		{"none", "/v1/kv/k", nil, 401, "a token is needed"},
		{"bearer", "/v1/kv/k", []string{"Authorization: Bearer tok"}, 404, "no such key"},
		{"another case", "/v1/kv/k", []string{"Authorization: bEARER tok"}, 404, "no such key"},
		{"two", "/v1/kv/k", []string{"Authorization: Bearer tok", "Authorization: Bearer tok"}, 400, "more than once"},
		{"two spaces", "/v1/kv/k", []string{"Authorization: Bearer  tok"}, 401, "not known here"},
		{"padding", "/v1/kv/k", []string{"Authorization: Bearer tok="}, 401, "not known here"},
		{"unicode", "/v1/kv/k", []string{"Authorization: Bearer tök"}, 401, "not known here"},
		{"empty", "/v1/kv/k", []string{"Authorization: "}, 401, "not known here"},
		{"the scheme alone", "/v1/kv/k", []string{"Authorization: Bearer"}, 401, "not known here"},
		{"basic", "/v1/kv/k", []string{"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("app:tok"))}, 401, "not known here"},
		{"no scheme", "/v1/kv/k", []string{"Authorization: tok"}, 401, "not known here"},
		{"cookie", "/v1/kv/k", []string{"Cookie: token=tok"}, 401, "a token is needed"},
		{"query", "/v1/kv/k?token=tok", nil, 400, "never stands in a URL"},
		{"query of OAuth", "/v1/kv/k?access_token=tok", nil, 400, "never stands in a URL"},
		{"query of a stream", "/v1/calls?token=tok", nil, 400, "never stands in a URL"},
		{"wrong, of an open probe", "/livez", []string{"Authorization: Bearer no"}, 200, "ok"},
		{"wrong, of a probe of all", "/readyz", []string{"Authorization: Bearer no"}, 200, "ok"},
	} {
		r := request(h, "GET", c.target, "", c.lines...)
		body := bodyOf(t, r)
		if r.StatusCode != c.status || !strings.Contains(body, c.says) || strings.Contains(body, "tok\"") {
			t.Errorf("%s: %d %s", c.what, r.StatusCode, body)
		}
		if (r.StatusCode == 401) != (r.Header.Get("WWW-Authenticate") == `Bearer realm="edgehold"`) {
			t.Errorf("%s: WWW-Authenticate is %q", c.what, r.Header.Get("WWW-Authenticate"))
		}
	}
	for _, token := range []string{"", "no"} {
		body := &untouched{}
		r := httptest.NewRequest("PUT", "/v1/kv/k", body)
		r.ContentLength = 1 << 20
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 401 || body.read {
			t.Errorf("a body of a request with the token %q: %d, read: %v", token, w.Code, body.read)
		}
	}
}

type untouched struct{ read bool }

func (u *untouched) Read([]byte) (int, error) { u.read = true; return 0, io.EOF }

// serve serves the handler on loopback until the end of the test.
func serve(t *testing.T, h http.Handler) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httpd.Serve(l, httpd.ServerConfig{Handler: h})
	t.Cleanup(func() { _ = s.Close(time.Second) })
	return l.Addr().String()
}

// TestGuessing: ten answers 401 in a row end the connection; one other answer begins a new row. A connection with two tokens is
// judged at each request, also after its token was revoked. A header over the limit is refused.
//
// Attack 27: a long header. Attack 33: pipelining with two tokens across a revocation.
func TestGuessing(t *testing.T) {
	access := newKnows("tok")
	address := serve(t, newAPI(front.Config{Store: storetest.NewMemory(), Access: access}, httpd.Config{}))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	from := bufio.NewReader(conn)
	ask := func(tokens ...string) (statuses []int, closed bool) {
		var out strings.Builder
		for _, token := range tokens {
			out.WriteString("GET /v1/kv/k HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer " + token + "\r\n\r\n")
		}
		if _, err := conn.Write([]byte(out.String())); err != nil {
			t.Fatal(err)
		}
		for range tokens {
			res, err := http.ReadResponse(from, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			statuses, closed = append(statuses, res.StatusCode), res.Close
		}
		return statuses, closed
	}
	if got, _ := ask("tok", "no", "tok", "no"); fmt.Sprint(got) != "[404 401 404 401]" {
		t.Errorf("two tokens in one pipeline are answered %v", got)
	}
	access.know("new")
	if got, _ := ask("tok", "new", "tok"); fmt.Sprint(got) != "[401 404 401]" {
		t.Errorf("after the token was revoked: %v", got)
	}
	for i := range 9 {
		if got, closed := ask("no"); got[0] != 401 || closed != (i == 8) {
			t.Errorf("wrong token %d in a row: %v, closed: %v", i+2, got, closed)
		}
	}
	if _, err := from.ReadByte(); err != io.EOF {
		t.Errorf("the connection is open: %v", err)
	}

	res, err := http.DefaultClient.Do(withToken(t, "http://"+address+"/v1/kv/k", strings.Repeat("x", 1<<20)))
	if err == nil {
		_ = res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a header of 1 MiB: %d", res.StatusCode)
		}
	}
}

func withToken(t *testing.T, target, token string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// TestRevokedStream: a stream whose token is revoked is refused at its next call, and ended.
//
// Attack 33.
func TestRevokedStream(t *testing.T) {
	access := newKnows("tok")
	h := newAPI(front.Config{Store: storetest.NewMemory(), Access: access}, httpd.Config{})
	if _, err := streamAs(t, h, "no"); api.CodeOf(err) != api.CodeUnauthenticated {
		t.Errorf("an Upgrade with a wrong token: %v", err)
	}
	if _, err := streamAs(t, h, ""); api.CodeOf(err) != api.CodeUnauthenticated || !strings.Contains(err.Error(), "a token is needed") {
		t.Errorf("an Upgrade without a token: %v", err)
	}
	c, err := streamAs(t, h, "tok")
	if err != nil {
		t.Fatal(err)
	}
	read := func() error {
		return c.Read(t.Context(), &api.ReadRequest{Keys: []api.Key{"k"}}, new(api.ReadResult))
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	access.know("new")
	if err := read(); api.CodeOf(err) != api.CodeUnauthenticated {
		t.Errorf("a call after the revocation: %v", err)
	}
	access.know("tok") // for the stream it is too late
	for range 100 {
		if err = read(); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the stream goes on: %v", err)
}

// TestReadyzSaysWhy: every client may ask whether a node is ready; only one that may observe learns why not.
func TestReadyzSaysWhy(t *testing.T) {
	h := newAPI(front.Config{Store: storetest.NewMemory(), Admin: &fakeAdmin{err: api.Errorf(api.CodeUnavailable, "r.1 has not caught up")}, Access: newKnows("tok")}, httpd.Config{})
	for token, want := range map[string]bool{"": false, "no": false, "tok": true} {
		r := request(h, "GET", "/readyz", "", "Authorization: Bearer "+token)
		if body := bodyOf(t, r); r.StatusCode != 503 || strings.Contains(body, "caught up") != want {
			t.Errorf("token %q: %d %s", token, r.StatusCode, body)
		}
	}
}

// TestAccessBodies: what makes no sense is refused before anything is administered.
//
// Attack 37: a limit of 0 is no bound and no token.
func TestAccessBodies(t *testing.T) {
	asked := 0
	h := newAPI(front.Config{Store: storetest.NewMemory(), Tokens: administered(func() { asked++ })}, httpd.Config{})
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/access/tokens", `{"name":"a","policies":["all"],"ops":1,"ttl":"1h"}`, 200},
		{"POST", "/v1/access/tokens", `{"name":"a","ops":0}`, 400}, {"POST", "/v1/access/tokens", `{"name":"a","bytes":0}`, 400},
		{"POST", "/v1/access/tokens", `{"name":"a","ops":-1}`, 400}, {"POST", "/v1/access/tokens", `{"name":"a","ttl":"-1h"}`, 400},
		{"POST", "/v1/access/tokens", `{"name":"a","king":true}`, 400}, {"POST", "/v1/access/tokens", ``, 400},
		{"POST", "/v1/access/tokens?wait=-1s", `{"name":"a"}`, 400}, {"POST", "/v1/access/tokens?wait=0", `{"name":"a"}`, 200},
		{"POST", "/v1/access/tokens/a", `{"keep":"1h"}`, 200}, {"POST", "/v1/access/tokens/a", `{"keep":"later"}`, 400},
		{"DELETE", "/v1/access/tokens/a", ``, 200}, {"GET", "/v1/access/tokens/a", ``, 200}, {"GET", "/v1/access/tokens/b", ``, 404},
		{"PUT", "/v1/access/policies/p", `{"rules":[{"prefix":"a","read":true},{"prefix_base64":"/w==","list":true}]}`, 200},
		{"PUT", "/v1/access/policies/p", `{"rules":[{"read":true}]}`, 400}, {"PUT", "/v1/access/policies/p", `{"rules":[{"prefix":"a","deny":true}]}`, 400},
		{"PUT", "/v1/access/policies/p", `{"name":"q"}`, 400}, {"PUT", "/v1/access/policies/p", `{"by":"root"}`, 400},
		{"DELETE", "/v1/access/policies/p?force", ``, 200}, {"DELETE", "/v1/access/policies/p?force=maybe", ``, 400},
		{"GET", "/v1/access/policies/p", ``, 200}, {"GET", "/v1/access/policies/q", ``, 404}, {"GET", "/v1/access/policies", ``, 200},
	} {
		asked = 0
		r := request(h, c.method, c.path, c.body)
		if body := bodyOf(t, r); r.StatusCode != c.status || (asked > 0) != (c.status != 400) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, r.StatusCode, body)
		}
	}
}

// administered is an api.Access that calls a function for each question.
type administered func()

func (f administered) AccessTokens(context.Context, api.NodeID) ([]api.AccessToken, error) {
	f()
	return []api.AccessToken{{ID: "0a", Name: "a"}}, nil
}
func (f administered) CreateAccessToken(context.Context, api.AccessTokenSpec, time.Duration) (*api.NewAccessToken, error) {
	f()
	return &api.NewAccessToken{}, nil
}
func (f administered) RotateAccessToken(context.Context, string, time.Duration, time.Duration) (*api.NewAccessToken, error) {
	f()
	return &api.NewAccessToken{}, nil
}
func (f administered) RevokeAccessToken(context.Context, string, time.Duration) (*api.Told, error) {
	f()
	return &api.Told{}, nil
}
func (f administered) Policies(context.Context) ([]api.Policy, error) {
	f()
	return []api.Policy{{Name: "p"}}, nil
}
func (f administered) SetPolicy(context.Context, api.Policy, time.Duration) (*api.Told, error) {
	f()
	return &api.Told{}, nil
}
func (f administered) DeletePolicy(context.Context, string, bool, time.Duration) (*api.Told, error) {
	f()
	return &api.Told{}, nil
}
