package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

func TestOpenRefuses(t *testing.T) {
	for _, cfg := range []Config{
		{}, {Endpoints: []string{""}}, {Endpoints: []string{"ftp://a"}}, {Endpoints: []string{"http://a?b=c"}}, {Endpoints: []string{"http://a:port"}},
		{Endpoints: []string{"a"}, Timeout: -1}, {Endpoints: []string{"a"}, Random: strings.NewReader("short")},
	} {
		if c, err := Open(t.Context(), cfg); err == nil {
			t.Errorf("%+v was opened as %+v", cfg, c)
		}
	}
	for _, e := range []string{"127.0.0.1:7400", "http://[::1]:7400/", "https://example.com/edgehold/"} {
		if _, err := Open(t.Context(), Config{Endpoints: []string{e}}); err != nil {
			t.Errorf("%s: %v", e, err)
		}
	}
}

func TestGetNamesItsServer(t *testing.T) {
	asked := make(chan *http.Request, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		h := w.Header()
		h.Set("ETag", `"3.9"`)
		h.Set("Edgehold-Version", "3.9")
		h.Set("Edgehold-Served-By", "stale")
		h.Set("Edgehold-Age", "1.250")
		h.Set("Edgehold-Owner", "eu-west.1")
		h.Set("Edgehold-Node", "ap-south-edge-1")
		_, _ = w.Write([]byte("value"))
	}))
	defer s.Close()
	c := open(t, Config{Endpoints: []string{s.URL + "/behind/a%2Fproxy/"}, Token: "secret", PlainHTTP: true})
	v, err := c.Get(t.Context(), "k/../k", MaxStale(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	want := Value{Version: api.Version{Epoch: 3, Index: 9}, ServedBy: api.ServedByStale, Age: 1250 * time.Millisecond, Owner: "eu-west.1", Node: "ap-south-edge-1"}
	if string(v.Value) != "value" {
		t.Errorf("value %q", v.Value)
	}
	if v.Value = nil; fmt.Sprint(v) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", v, want)
	}
	r := <-asked
	if q := r.URL.Query(); q.Get("consistency") != "bounded" || q.Get("max_stale") != "5s" || q.Get("timeout") == "" {
		t.Errorf("query %q", r.URL.RawQuery)
	}
	if path, _, _ := strings.Cut(r.RequestURI, "?"); path != "/behind/a%2Fproxy/v1/kv/k/%2E%2E/k" {
		t.Errorf("path %s", path)
	}
	if r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("User-Agent") != "edgehold-go" {
		t.Errorf("header %v", r.Header)
	}
}

func TestErrorsAreTheirCodes(t *testing.T) { onMemory(t, testErrorsAreTheirCodes) }

func testErrorsAreTheirCodes(t *testing.T, c *Client, _ *storetest.Memory) {
	_, err := c.Get(t.Context(), "absent")
	e, ok := errors.AsType[*api.Error](err)
	if !ok || !errors.Is(err, api.CodeNotFound) || e.Op != "get" || e.Key != "absent" {
		t.Errorf("%#v", err)
	}
	v, err := c.Put(t.Context(), "k", []byte("x"), IfAbsent())
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func() (api.Version, error){
		"absent":   func() (api.Version, error) { return c.Put(t.Context(), "k", nil, IfAbsent()) },
		"version":  func() (api.Version, error) { return c.Delete(t.Context(), "k", IfVersion(api.Version{Epoch: 1})) },
		"together": func() (api.Version, error) { return c.Put(t.Context(), "k", nil, IfVersion(v), IfAbsent()) },
	} {
		got, err := try()
		if e := api.AsError(err); !errors.Is(err, api.CodePreconditionFailed) || e.Version != v || !got.IsZero() {
			t.Errorf("%s: %v with version %v, want a failed precondition with version %v", name, err, e.Version, v)
		}
	}
	for name, err := range map[string]error{
		"empty key":       second(c.Get(t.Context(), "")),
		"empty key (put)": second(c.Put(t.Context(), "", nil)),
		"empty id":        second(c.Put(t.Context(), "k", nil, IdempotencyKey(""))),
		"negative limit":  second(c.ListPage(t.Context(), "", Limit(-1))),
		"bad page":        second(c.ListPage(t.Context(), "", FromPage("x"))),
		"bad path":        second(c.Fetch(t.Context(), "v1")),
	} {
		if !errors.Is(err, api.CodeInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := second(c.ListPage(t.Context(), "", Limit(1001))); !errors.Is(err, api.CodeTooLarge) {
		t.Error(err)
	}
	if err := second(c.Put(t.Context(), "k", nil, IdempotencyKey(strings.Repeat("i", 256)))); !errors.Is(err, api.CodeTooLarge) {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

// onMemory runs f with a Client of a fresh reference Store, once over a node and once in this process.
func onMemory(t *testing.T, f func(t *testing.T, c *Client, m *storetest.Memory)) {
	t.Helper()
	t.Run("node", func(t *testing.T) {
		m := storetest.NewMemory()
		f(t, open(t, Config{Endpoints: []string{serve(t, httpd.New(front.New(front.Config{Store: m, Lister: m, Node: "n1", Admin: &admin{}}), httpd.Config{}))}}), m)
	})
	t.Run("embedded", func(t *testing.T) {
		m := storetest.NewMemory()
		f(t, New(m), m)
	})
}

func TestIfChanged(t *testing.T) { onMemory(t, testIfChanged) }

func testIfChanged(t *testing.T, c *Client, _ *storetest.Memory) {
	old, _ := c.Put(t.Context(), "k", []byte("one"))
	if v, err := c.Get(t.Context(), "k", IfChanged(old)); err != nil || !v.Unchanged || v.Value != nil || v.Version != old {
		t.Errorf("%+v, %v", v, err)
	}
	now, _ := c.Put(t.Context(), "k", []byte("two"))
	if v, err := c.Get(t.Context(), "k", IfChanged(old)); err != nil || v.Unchanged || string(v.Value) != "two" || v.Version != now {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestIdempotencyKeyOfOnesOwn(t *testing.T) { onMemory(t, testIdempotencyKeyOfOnesOwn) }

func testIdempotencyKeyOfOnesOwn(t *testing.T, c *Client, _ *storetest.Memory) {
	first, err := c.Put(t.Context(), "k", []byte("x"), IdempotencyKey("order-17"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), "k", []byte("y")); err != nil {
		t.Fatal(err)
	}
	if again, err := c.Put(t.Context(), "k", []byte("x"), IdempotencyKey("order-17")); err != nil || again != first {
		t.Errorf("%v, %v, want %v", again, err, first)
	}
	if _, err := c.Put(t.Context(), "k", []byte("z"), IdempotencyKey("order-17")); !errors.Is(err, api.CodeConflict) {
		t.Errorf("another value under the same id: %v", err)
	}
}

func TestList(t *testing.T) { onMemory(t, testList) }

func testList(t *testing.T, c *Client, m *storetest.Memory) {
	var want []api.Key
	for i := range 2*api.MaxListLimit + 5 {
		k := api.Key(fmt.Sprintf("many/%05d", i))
		want = append(want, k)
		if _, err := m.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k}}}); err != nil {
			t.Fatal(err)
		}
	}
	keys := func(prefix api.Key, opts ...ListOption) (got []api.Key) {
		for e, err := range c.List(t.Context(), prefix, opts...) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Key)
		}
		return got
	}
	if got := keys("many/"); !slices.Equal(got, want) {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
	if got := keys("many/", Limit(api.MaxListLimit+1), KeysOnly()); !slices.Equal(got, want[:api.MaxListLimit+1]) {
		t.Errorf("%d keys with a limit", len(got))
	}
	if got := keys("many/", Between("many/00003", "many/00005"), Reverse()); !slices.Equal(got, []api.Key{want[4], want[3]}) {
		t.Errorf("between: %q", got)
	}
	for _, none := range [][]api.Key{keys("many/", Between("n", "")), keys("none"), keys("", Between("b", "a"))} {
		if len(none) > 0 {
			t.Errorf("%q", none)
		}
	}
	for range c.List(t.Context(), "many/") {
		break // a loop may end early
	}
	p, err := c.ListPage(t.Context(), "many/", Limit(2))
	if err != nil || len(p.Entries) != 2 {
		t.Fatal(p, err)
	}
	if p, err = c.ListPage(t.Context(), "many/", Limit(1), FromPage(p.Next)); err != nil || p.Entries[0].Key != want[2] {
		t.Errorf("%+v, %v", p, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	for _, err := range c.List(ended, "") {
		if n++; !errors.Is(err, api.CodeUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("an ended context: %v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d turns of a loop that fails", n)
	}
}

type admin struct {
	prefix api.Key
	region api.RegionID
	group  api.GroupID
}

var aStatus = &api.Status{
	ClusterID: "c", Nodes: []api.NodeStatus{{Node: "n1", Region: "r", Role: api.RoleServer, URL: "http://n1", State: "up"}},
	Groups:   []api.GroupStatus{{Group: "r.1", Region: "r", Leader: "n1", Term: 2, Voters: []api.NodeID{"n1"}, Applied: 7}},
	Ranges:   []api.RangeStatus{{End: "m", Group: "r.1", Epoch: 1}, {Start: "m", End: "\xff", Group: "r.1", Epoch: 2}, {Start: "\xff", Group: "r.1", Epoch: 3}},
	Sessions: 1, Leases: 2,
}

func (a *admin) Status(context.Context) (*api.Status, error) { return aStatus, nil }
func (a *admin) Ready(context.Context) error                 { return api.Errorf(api.CodeUnavailable, "catching up") }
func (a *admin) SetPlacement(_ context.Context, prefix api.Key, region api.RegionID) error {
	if region == "taken" {
		return api.Errorf(api.CodeConflict, "the range has keys")
	}
	a.prefix, a.region = prefix, region
	return nil
}
func (a *admin) SetPlacementGroup(_ context.Context, prefix api.Key, group api.GroupID) error {
	if group == "taken" {
		return api.Errorf(api.CodeConflict, "the range has keys")
	}
	a.prefix, a.group = prefix, group
	return nil
}

func TestAdmin(t *testing.T) {
	a := &admin{}
	c := open(t, Config{Endpoints: []string{serve(t, httpd.New(front.New(front.Config{Admin: a}), httpd.Config{}))}})
	embedded := New(struct {
		api.Store
		api.Admin
	}{storetest.NewMemory(), a})
	for _, c := range []*Client{c, embedded} {
		s, err := c.Status(t.Context())
		if err != nil || fmt.Sprintf("%+v", s) != fmt.Sprintf("%+v", aStatus) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, s, aStatus)
		}
		for _, prefix := range []api.Key{"eu/", "\xff", ""} {
			if err := c.SetPlacement(t.Context(), prefix, "eu-west"); err != nil || a.prefix != prefix || a.region != "eu-west" {
				t.Errorf("%v, %q, %q", err, a.prefix, a.region)
			}
		}
		if err := c.SetPlacementGroup(t.Context(), "de/", "eu-west.2"); err != nil || a.prefix != "de/" || a.group != "eu-west.2" || a.region != "eu-west" {
			t.Errorf("%v, %q, %q, %q", err, a.prefix, a.group, a.region)
		}
		if err := c.SetPlacementGroup(t.Context(), "de/", "taken"); !errors.Is(err, api.CodeConflict) {
			t.Error(err)
		}
		if err := c.SetPlacement(t.Context(), "eu/", "taken"); !errors.Is(err, api.CodeConflict) || !strings.Contains(err.Error(), "the range has keys") {
			t.Error(err)
		}
		if err := c.Ready(t.Context()); !errors.Is(err, api.CodeUnavailable) || !strings.Contains(err.Error(), "catching up") {
			t.Error(err)
		}
	}
	if body, err := c.Fetch(t.Context(), "/v1/cluster"); err != nil || !strings.HasPrefix(string(body), `{"cluster_id":"c","nodes":[`) {
		t.Errorf("%s, %v", body, err)
	}
}

// TestEmbeddedSaysWhatItCannot checks that a Client of a Store that is only an api.Store refuses calls that need more, and
// changes nothing.
func TestEmbeddedSaysWhatItCannot(t *testing.T) {
	c := New(struct{ api.Store }{storetest.NewMemory()})
	for what, err := range map[string]error{
		"list":      second(c.ListPage(t.Context(), "")),
		"status":    second(c.Status(t.Context())),
		"placement": c.SetPlacement(t.Context(), "eu/", "eu-west"),
		"ready":     c.Ready(t.Context()),
		"fetch":     second(c.Fetch(t.Context(), "/v1/cluster")),
		"txn":       second(c.SendTxn(t.Context(), []byte(`{"then":[{"delete":{"key":"k"}}]}`))),
	} {
		if e := api.AsError(err); e == nil || e.Code != api.CodeInvalid || e.Op != what || e.Hint == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := second(New(storetest.NewMemory()).ListPage(t.Context(), "a", FromPage("no page"))); !errors.Is(err, api.CodeInvalid) {
		t.Errorf("a page that is none: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// shared is a Store that returns its own memory, as a cache does.
type shared struct {
	api.Store
	value []byte
}

func (s shared) Read(_ context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	*out = api.ReadResult{Entries: []api.Entry{{Key: r.Keys[0], Value: s.value, Exists: true, Version: api.Version{Epoch: 1, Index: 1}}}, Snapshot: true}
	return nil
}

func (s shared) Do(context.Context, *api.Txn) (*api.TxnResult, error) {
	return &api.TxnResult{Committed: true, Entries: []api.Entry{{Value: s.value, Exists: true}}}, nil
}

func (s shared) List(context.Context, *api.ListRequest) (*api.ListResult, error) {
	return &api.ListResult{Entries: []api.Entry{{Key: "k", Value: s.value, Exists: true}}}, nil
}

// TestEmbeddedValuesAreCopied checks that the caller may change what a Client of a Store in this process returns, and that the
// Store's own values stay as they are.
func TestEmbeddedValuesAreCopied(t *testing.T) {
	s := shared{value: []byte("value")}
	c := New(s)
	v, err := c.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.ListPage(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpGet, Key: "k"}}}, func() identity { return identity{} })
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{v.Value, p.Entries[0].Value, res.Entries[0].Value} {
		if string(b) != "value" {
			t.Errorf("%q", b)
		}
		clear(b)
	}
	if string(s.value) != "value" {
		t.Errorf("the Store's own is %q", s.value)
	}
}

// TestEscapeKey checks that the path decodes to the key, and that a proxy finds nothing in it to normalize.
func TestEscapeKey(t *testing.T) {
	for key, want := range map[api.Key]string{
		"a/b": "a/b", "a//b": "a/%2Fb", "/": "%2F", "//a/": "%2F%2Fa/", "a/../b": "a/%2E%2E/b", ".": "%2E", "..": "%2E%2E", "...": "...",
		"a.b": "a.b", ".a": ".a", "a/.": "a/%2E", "%2F": "%252F", "a b+c": "a%20b%2Bc", "\x00\xff": "%00%FF", "ä": "%C3%A4", "?#&=": "%3F%23%26%3D", "~-_": "~-_",
	} {
		if got := escapeKey(key); got != want {
			t.Errorf("%q: %s, want %s", key, got, want)
		}
	}
}

func FuzzEscapeKey(f *testing.F) {
	for _, k := range []string{"a", "a/../b", "a//b", "/", "%2F", "\x00\xff", "."} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		raw := keyPath + escapeKey(api.Key(key))
		u, err := url.ParseRequestURI(raw)
		if err != nil || u.Path != keyPath+key {
			t.Fatalf("%q became %s, which is %q, %v", key, raw, u, err)
		}
		sent := url.URL{Scheme: "http", Host: "h", Path: keyPath + key, RawPath: raw}
		if sent.RequestURI() != raw {
			t.Fatalf("%q is sent as %s, want %s", key, sent.RequestURI(), raw)
		}
		if cleaned := u.JoinPath(); cleaned.EscapedPath() != raw {
			t.Fatalf("%q: %s cleans to %s", key, raw, cleaned.EscapedPath())
		}
	})
}
