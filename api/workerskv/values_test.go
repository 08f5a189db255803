package workerskv_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// oddKeys are names that an encoding could lose, in order.
var oddKeys = slices.Sorted(slices.Values([]string{
	"/", "//a", "a//b", "a/../b", "a b", "a+b", "%", "%2F", "?", "#", "a?b#c", "&=", ".meta", ".meta/", ".meta/k", ".meta.", ".meta./k", ".metal",
	".locks/x", "bulk/get", "workers-kv/NS/k", "ä€𝄞", "\x00\n\x7f", "�", "__proto__", "-", "...", "kv/NS/k", strings.Repeat("€", 170),
}))

func escape(name string) string { return strings.ReplaceAll(url.QueryEscape(name), "+", "%20") }

// TestOddKeys: every name is a key of its own, with its own value and metadata, and lists have it as it was.
func TestOddKeys(t *testing.T) {
	s := start(t)
	for i, name := range oddKeys {
		if got := s.ask("PUT", "/"+escape(name)+"?urlencoded=true", fmt.Sprint("v", i), "CF-KV-Metadata: "+strconv.Itoa(i)); got.status != 200 {
			t.Errorf("put %q: %d %s", name, got.status, got.phrase)
		}
	}
	for i, name := range oddKeys {
		got := s.ask("GET", "/"+escape(name)+"?urlencoded=true", "")
		if got.body != fmt.Sprint("v", i) || got.header.Get("CF-KV-Metadata") != strconv.Itoa(i) {
			t.Errorf("get %q: %d %q with metadata %q", name, got.status, got.body, got.header.Get("CF-KV-Metadata"))
		}
	}
	var listed []string
	for i, k := range s.list("").Keys {
		listed = append(listed, k.Name)
		if k.Metadata != strconv.Itoa(i) {
			t.Errorf("%q is listed with metadata %q", k.Name, k.Metadata)
		}
	}
	if !slices.Equal(listed, oddKeys) {
		t.Errorf("listed\n%q, want\n%q", listed, oddKeys)
	}
	for _, name := range oddKeys {
		s.ask("DELETE", "/"+escape(name)+"?urlencoded=true", "")
	}
	if left := s.keys(); len(left) > 0 {
		t.Errorf("after all were deleted there are %q", left)
	}
}

// page is the answer to a list.
type page struct {
	Keys []struct {
		Name, Metadata string
		Expiration     int64
	}
	Complete bool `json:"list_complete"`
	Cursor   string
}

func (p page) names() (all []string) {
	for _, k := range p.Keys {
		all = append(all, k.Name)
	}
	return all
}

func (s *server) list(query string) (p page) {
	s.t.Helper()
	got := s.ask("GET", "/?"+query, "")
	if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != 200 {
		s.t.Fatalf("list %s: %d %s", query, got.status, got.body)
	}
	return p
}

// TestMetadata: metadata is kept beside its key, with the key's time to live, and goes with it: with a put that has none, and with a
// delete.
func TestMetadata(t *testing.T) {
	s := start(t)
	s.ask("PUT", "/k?expiration_ttl=100", "1", `CF-KV-Metadata: {"a": "é"}`)
	value, meta := s.entry("kv/NS/k"), s.entry("kv/NS/.meta/k")
	if string(value.Value) != "1" || string(meta.Value) != `{"a":"é"}` || value.Version != meta.Version {
		t.Errorf("stored are %+v and %+v", value, meta)
	}
	for _, e := range []api.Entry{value, meta} {
		if e.TTL <= 90*time.Second || e.TTL > 100*time.Second {
			t.Errorf("%q lives for %v, want 100 s", e.Key, e.TTL)
		}
	}
	got := s.ask("GET", "/k", "")
	at, err := strconv.ParseInt(got.header.Get("CF-Expiration"), 10, 64)
	if err != nil || time.Until(time.Unix(at, 0)).Round(10*time.Second) != 100*time.Second || got.header.Get("CF-KV-Metadata") != `{"a":"é"}` {
		t.Errorf("got with %v", got.header)
	}
	if k := s.list("").Keys[0]; k.Expiration != at || k.Metadata != `{"a":"é"}` {
		t.Errorf("listed is %+v, read %d", k, at)
	}
	s.ask("PUT", "/k", "2")
	if got := s.ask("GET", "/k", ""); got.body != "2" || got.header["Cf-Kv-Metadata"] != nil || got.header["Cf-Expiration"] != nil || s.entry("kv/NS/.meta/k").Exists {
		t.Errorf("after a put without metadata: %q with %v", got.body, got.header)
	}
	s.ask("PUT", "/k", "3", `CF-KV-Metadata: "m"`)
	s.ask("DELETE", "/k", "")
	if left := s.keys(); len(left) > 0 {
		t.Errorf("after the delete there are %q", left)
	}
}

// TestExpiration: a key is kept until the time that a put names, by this node's clock, and not a second less.
func TestExpiration(t *testing.T) {
	s := start(t)
	at := time.Now().Add(3600 * time.Second).Unix()
	s.ask("PUT", fmt.Sprintf("/k?expiration=%d", at), "v")
	if got, want := s.entry("kv/NS/k").TTL, time.Until(time.Unix(at, 0)); got < want-time.Minute || got > want+time.Second {
		t.Errorf("lives for %v, want %v", got, want)
	}
	s.ask("PUT", fmt.Sprintf("/k?expiration=%d&expiration_ttl=60", at), "v")
	if got := s.entry("kv/NS/k").TTL; got > time.Minute {
		t.Errorf("lives for %v, want what expiration_ttl says", got)
	}
}

// TestPages: pages of any size list each key once, in order, with cursors that hold for ever and at every node.
func TestPages(t *testing.T) {
	s := start(t)
	var want []string
	for i := range 30 {
		for _, dir := range []string{"!", "a", "a/", "b"} { // some before the directory of metadata, some after
			name := fmt.Sprintf("%s%02d", dir, i)
			want = append(want, name)
			s.ask("PUT", "/"+escape(name), "v", "CF-KV-Metadata: "+strconv.Quote(name))
		}
	}
	slices.Sort(want)
	for _, prefix := range []string{"", "!", "a", "a/", "none"} {
		var sub []string
		for _, name := range want {
			if strings.HasPrefix(name, prefix) {
				sub = append(sub, name)
			}
		}
		for _, size := range []int{1, 7, 30, 1000} {
			var got []string
			cursor, pages := "", 0
			for done := false; !done; pages++ {
				p := s.list(fmt.Sprintf("prefix=%s&key_count_limit=%d&cursor=%s", url.QueryEscape(prefix), size, cursor))
				for _, k := range p.Keys {
					got = append(got, k.Name)
					if k.Metadata != strconv.Quote(k.Name) {
						t.Errorf("%q has metadata %q", k.Name, k.Metadata)
					}
				}
				cursor, done = p.Cursor, p.Complete
				if done == (cursor != "") || len(p.Keys) > size {
					t.Fatalf("page %d of %d has %d keys, is the last: %v, cursor %q", pages, size, len(p.Keys), done, cursor)
				}
			}
			if !slices.Equal(got, sub) || pages != max(1, (len(sub)+size-1)/size) {
				t.Errorf("prefix %q by %d: %d pages of %q", prefix, size, pages, got)
			}
		}
	}
	one := s.list("key_count_limit=1")
	s.ask("DELETE", "/"+escape(one.Keys[0].Name), "")
	if next := s.list("key_count_limit=1&cursor=" + one.Cursor); next.Keys[0].Name != want[1] {
		t.Errorf("after the deleted key comes %q", next.Keys[0].Name)
	}
}

// TestForeignKeysAreNotListed: what a binding cannot name does not hide what follows it.
func TestForeignKeysAreNotListed(t *testing.T) {
	s := start(t)
	for _, k := range []api.Key{"kv/NS/\xfe", "kv/NS/\xff", "kv/NS/.metax", "kv/NS/.meta/orphan", "kv/NS/z"} {
		if _, err := s.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: []byte("v")}}}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for cursor, done := "", false; !done; {
		p := s.list("key_count_limit=1&cursor=" + cursor)
		got, cursor, done = append(got, p.names()...), p.Cursor, p.Complete
	}
	if !slices.Equal(got, []string{"z"}) {
		t.Errorf("listed are %q", got)
	}
}

// TestBulk: many keys come in one answer, each with its own metadata, and text that is not UTF-8 as a binding reads it.
func TestBulk(t *testing.T) {
	s := start(t)
	s.ask("PUT", "/text", "a\xffb", `CF-KV-Metadata: {"m":1}`)
	s.ask("PUT", "/json", "\ufeff{\"big\":12345678901234567890}")
	s.ask("PUT", "/empty", "")
	for _, c := range []struct{ body, want string }{
		{`{"keys":["text","empty","absent"]}`, `{"text":"a�b","empty":"","absent":null}`},
		{`{"keys":["json"],"type":"json"}`, `{"json":{"big":12345678901234567890}}`},
		{`{"keys":["text","empty"],"withMetadata":true}`, `{"text":{"value":"a�b","metadata":{"m":1}},"empty":{"value":"","metadata":null}}`},
	} {
		if got := s.ask("POST", "/bulk/get", c.body); got.body != c.want {
			t.Errorf("%s: %s, want %s", c.body, got.body, c.want)
		}
	}
}

// store is a reference store that counts lists, and whose bounded reads are what a test says.
type store struct {
	*storetest.Memory
	lists   atomic.Int64
	bounded func(r *api.ReadRequest, out *api.ReadResult) error
	reads   []api.ReadRequest
}

func (s *store) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	s.lists.Add(1)
	return s.Memory.List(ctx, r)
}

func (s *store) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	s.reads = append(s.reads, *r)
	if r.Consistency == api.Bounded && s.bounded != nil {
		return s.bounded(r, out)
	}
	return s.Memory.Read(ctx, r, out)
}

// TestListIsOneRequest: keys and metadata are of one instant, as the owner lists them together.
func TestListIsOneRequest(t *testing.T) {
	var under *store
	s := start(t, func(c *front.Config) {
		under = &store{Memory: c.Store.(*storetest.Memory)}
		c.Store, c.Lister = under, under
	})
	s.ask("PUT", "/a", "v")
	s.ask("PUT", "/b", "v", "CF-KV-Metadata: 1")
	for _, query := range []string{"", "prefix=a", "prefix=.meta", "key_count_limit=1"} {
		under.lists.Store(0)
		s.list(query)
		if got := under.lists.Load(); got != 1 {
			t.Errorf("%s took %d lists", query, got)
		}
	}
}

// TestMuchMetadata: metadata without keys, which other means have written, hides no key and no metadata of one.
func TestMuchMetadata(t *testing.T) {
	s := start(t)
	var steps []api.Op
	for i := range 2000 {
		steps = append(steps, api.Op{Kind: api.OpPut, Key: api.Key(fmt.Sprintf("kv/NS/.meta/o%04d", i)), Value: []byte("1")})
	}
	for half := range slices.Chunk(steps, 500) {
		if _, err := s.Do(t.Context(), &api.Txn{Then: half}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"a", "o0500x", "o1700", "z"}
	for _, name := range want {
		s.ask("PUT", "/"+name, "v", "CF-KV-Metadata: "+strconv.Quote(name))
	}
	var got []string
	pages := 0
	for cursor, done := "", false; !done && pages < 100; pages++ {
		p := s.list("key_count_limit=3&cursor=" + cursor)
		for _, k := range p.Keys {
			if k.Metadata != strconv.Quote(k.Name) {
				t.Errorf("%q has metadata %q", k.Name, k.Metadata)
			}
		}
		got, cursor, done = append(got, p.names()...), p.Cursor, p.Complete
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed are %q in %d pages", got, pages)
	}
}

// full lists names that leave no room for metadata.
type full struct{ api.Lister }

func (f full) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	res, err := f.Lister.List(ctx, r)
	if err == nil {
		res.Also[len(res.Also)-1] = api.ListPage{More: true}
	}
	return res, err
}

// TestNoRoomForMetadata: a page whose metadata the owner has left out for its size is refused.
func TestNoRoomForMetadata(t *testing.T) {
	s := start(t, func(c *front.Config) { c.Lister = full{c.Lister} })
	s.ask("PUT", "/a", "v", "CF-KV-Metadata: 1")
	if got := s.ask("GET", "/", ""); got.status != 413 {
		t.Errorf("the answer is %d %s %s", got.status, got.phrase, got.body)
	}
}

// TestCacheTTL: cache_ttl is the age that a read accepts; what may not be one state of the key is read again.
func TestCacheTTL(t *testing.T) {
	v1, v2 := api.Version{Epoch: 1, Index: 1}, api.Version{Epoch: 1, Index: 2}
	value, meta := api.Entry{Key: "kv/NS/k", Value: []byte("old"), Version: v1, Exists: true}, api.Entry{Key: "kv/NS/.meta/k", Value: []byte("0"), Version: v1, Exists: true}
	later := meta
	later.Version = v2
	none := api.Entry{Key: meta.Key}
	for _, c := range []struct {
		name     string
		target   string
		res      api.ReadResult
		again    bool
		maxStale time.Duration
	}{
		{"not given", "/k", api.ReadResult{}, false, 0},
		{"0", "/k?cache_ttl=0", api.ReadResult{}, false, 0},
		{"a pair of one instant", "/k?cache_ttl=60", api.ReadResult{Entries: []api.Entry{value, none}, ServedBy: api.ServedByLease, Snapshot: true}, false, time.Minute},
		{"a pair of copies", "/k?cache_ttl=5", api.ReadResult{Entries: []api.Entry{value, meta}, ServedBy: api.ServedByStale}, false, 5 * time.Second},
		{"a copy without metadata", "/k?cache_ttl=60", api.ReadResult{Entries: []api.Entry{value, none}, ServedBy: api.ServedByStale}, false, time.Minute},
		{"copies of two states", "/k?cache_ttl=60", api.ReadResult{Entries: []api.Entry{value, later}, ServedBy: api.ServedByStale}, true, time.Minute},
		{"two answers of the owner", "/k?cache_ttl=60", api.ReadResult{Entries: []api.Entry{value, none}, ServedBy: api.ServedByOwner}, true, time.Minute},
	} {
		var under *store
		s := start(t, func(cfg *front.Config) {
			under = &store{Memory: cfg.Store.(*storetest.Memory), bounded: func(_ *api.ReadRequest, out *api.ReadResult) error { *out = c.res; return nil }}
			cfg.Store, cfg.Lister = under, under
		})
		s.ask("PUT", "/k", "new", "CF-KV-Metadata: 2")
		got := s.ask("GET", c.target, "")
		first := under.reads[0]
		if bounded := first.Consistency == api.Bounded; bounded != (c.maxStale > 0) || first.MaxStale != c.maxStale || bounded == first.Snapshot {
			t.Errorf("%s: read %+v", c.name, first)
		}
		if fresh := got.body == "new"; fresh != (c.again || c.maxStale == 0) || len(under.reads) > 1 != c.again {
			t.Errorf("%s: got %q with metadata %q after %d reads", c.name, got.body, got.header.Get("CF-KV-Metadata"), len(under.reads))
		}
	}
}
