package httpd_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
)

type listed struct {
	Entries []map[string]string `json:"entries"`
	Next    string              `json:"next"`
	Cursor  string              `json:"cursor"`
}

func list(t *testing.T, h http.Handler, query string) listed {
	t.Helper()
	r := request(h, "GET", "/v1/kv"+query, "")
	wantStatus(t, r, 200)
	var l listed
	body := bodyOf(t, r)
	if err := json.Unmarshal([]byte(body), &l); err != nil || l.Entries == nil {
		t.Fatalf("%v in %.300s", err, body)
	}
	return l
}

func (l listed) keys() string {
	var ks []string
	for _, e := range l.Entries {
		ks = append(ks, e["key"])
	}
	return strings.Join(ks, " ")
}

func TestList(t *testing.T) {
	h, _ := memoryAPI()
	for _, k := range []string{"a", "b", "b/1", "b/2", "b+", "c"} {
		put(t, h, k, "value of "+k)
	}
	for query, want := range map[string]string{
		"":                           "a b b+ b/1 b/2 c",
		"?prefix=":                   "a b b+ b/1 b/2 c",
		"?prefix=b":                  "b b+ b/1 b/2",
		"?prefix=b/":                 "b/1 b/2",
		"?prefix=b%2B":               "b+",
		"?prefix=none":               "",
		"?start=b/":                  "b/1 b/2 c",
		"?end=b":                     "a",
		"?start=b&end=b/2":           "b b+ b/1",
		"?start=c&end=a":             "",
		"?start=b&end=b/2&reverse":   "b/1 b+ b",
		"?prefix=b/&reverse=true":    "b/2 b/1",
		"?prefix=b/&reverse=0":       "b/1 b/2",
		"?limit=2":                   "a b",
		"?limit=1000&timeout=5s":     "a b b+ b/1 b/2 c",
		"?reverse=true&limit=1":      "c",
		"?keys_only=true&prefix=b/1": "b/1",
	} {
		if l := list(t, h, query); l.keys() != want {
			t.Errorf("%s: %q, want %q", query, l.keys(), want)
		}
	}
	l := list(t, h, "?prefix=b/1")
	if e := l.Entries[0]; e["value"] != "value of b/1" || e["version"] != "1.3" || len(e) != 3 || l.Next != "" {
		t.Errorf("%+v", l)
	}
	if e := list(t, h, "?prefix=b/1&keys_only").Entries[0]; e["version"] != "1.3" || len(e) != 2 {
		t.Errorf("keys only: %+v", e)
	}
	head := request(h, "HEAD", "/v1/kv", "")
	wantStatus(t, head, 200)
}

func TestListRefuses(t *testing.T) {
	h, _ := memoryAPI()
	put(t, h, "a", "x")
	put(t, h, "b", "x")
	next := list(t, h, "?prefix=&limit=1").Next
	for query, naming := range map[string]string{
		"?prefix=a&start=a": "prefix", "?prefix=a&end=a": "prefix", "?limit=0": "limit", "?limit=-1": "limit", "?limit=x": "limit",
		"?limit=": "limit", "?reverse=maybe": "reverse", "?keys_only=2": "keys_only", "?consistency=strong": "consistency", "?max_stale=5s": "max_stale",
		"?page=": "page", "?page=!": "page", "?page=AAAA": "page", "?sort=key": "sort",
		"?page=" + next + "&prefix=other": "page", "?page=" + next + "&reverse": "page", "?page=" + next + "&keys_only": "page",
	} {
		wantProblem(t, request(h, "GET", "/v1/kv"+query, ""), 400, api.CodeInvalid, naming)
	}
	wantProblem(t, request(h, "GET", "/v1/kv?limit=1001", ""), 413, api.CodeTooLarge, "1000", "1001")
	wantProblem(t, request(h, "GET", "/v1/kv?start="+strings.Repeat("k", 4097), ""), 413, api.CodeTooLarge, "4096")
}

func TestListPages(t *testing.T) {
	h, _ := memoryAPI()
	longest := strings.Repeat("\x7f", api.MaxKeyBytes)
	want := []string{"p/a", "p/b", "p/c", "p/d", "p/e"}
	for _, k := range append([]string{"o", longest}, want...) {
		put(t, h, url.PathEscape(k), "x")
	}
	for _, reverse := range []bool{false, true} {
		for _, alone := range []bool{false, true} { // the cursor alone, or with the list's parameters
			base := "?prefix=p/&limit=2"
			if reverse {
				base += "&reverse=true"
			}
			var got []string
			for query := base; ; {
				l := list(t, h, query)
				for _, e := range l.Entries {
					got = append(got, e["key"])
				}
				if l.Next == "" {
					break
				}
				query = base + "&page=" + l.Next
				if alone {
					query = "?limit=2&page=" + l.Next
				}
			}
			if reverse {
				slices.Reverse(got)
			}
			if !slices.Equal(got, want) {
				t.Errorf("reverse %v, cursor alone %v: %q", reverse, alone, got)
			}
		}
	}
	put(t, h, url.PathEscape(longest[:4095]+"\xff"), "x")
	l := list(t, h, "?prefix=%7f&limit=1") // goes on after the longest key there can be
	if l = list(t, h, "?page="+l.Next); len(l.Entries) != 1 || l.Next != "" {
		t.Errorf("after the longest key: %d entries, next %q", len(l.Entries), l.Next)
	}
}

func TestListAnyBytes(t *testing.T) {
	h, _ := memoryAPI()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	values := map[string]string{"text": "\x00\"\\\n\r\t\x1f\x7f<&>\u2028é", "bytes": string(all), "\xff": "", "empty": ""}
	for k, v := range values {
		put(t, h, url.PathEscape(k), v)
	}
	r := request(h, "GET", "/v1/kv", "")
	var l struct {
		Entries []struct {
			Key      *string
			KeyB64   []byte `json:"key_base64"`
			Value    *string
			ValueB64 []byte `json:"value_base64"`
		}
	}
	if err := json.Unmarshal([]byte(bodyOf(t, r)), &l); err != nil || len(l.Entries) != len(values) {
		t.Fatalf("%v, %d entries", err, len(l.Entries))
	}
	for _, e := range l.Entries {
		key, value := string(e.KeyB64), string(e.ValueB64)
		if e.Key != nil {
			key = *e.Key
		}
		if e.Value != nil {
			value = *e.Value
		}
		if value != values[key] || (e.Key == nil) != (key == "\xff") || (e.Value == nil) != (key == "bytes") {
			t.Errorf("key %q came as %+v", key, e)
		}
	}
}

// TestListPageBytes: the body of a page stays under its limit, whatever its values grow to in JSON, and loses nothing.
func TestListPageBytes(t *testing.T) {
	const n = 7
	value := strings.Repeat("\"aaaaaa\n", api.MaxValueBytes/8) // ten bytes in JSON
	var asked []api.Range
	h := newAPI(front.Config{Lister: listerFunc(func(_ context.Context, r *api.ListRequest) (*api.ListResult, error) {
		asked = append(asked, r.Range)
		res := &api.ListResult{}
		for _, k := range []api.Key{"a", "b", "c", "d", "e", "f", "g"} {
			if r.Range.Contains(k) {
				res.Entries = append(res.Entries, api.Entry{Key: k, Value: []byte(value), Exists: true})
			}
		}
		return res, nil
	})}, httpd.Config{})
	seen := 0
	for query := ""; ; {
		r := request(h, "GET", "/v1/kv"+query, "")
		body := bodyOf(t, r)
		if len(body) > api.MaxListBytes {
			t.Fatalf("a page of %d bytes", len(body))
		}
		seen += strings.Count(body, `"version":`)
		_, next, more := strings.Cut(body, `],"next":"`)
		if !more {
			break
		}
		query = "?page=" + strings.TrimSuffix(next, "\"}\n")
	}
	if seen != n || asked[1].Start != "f\x00" {
		t.Errorf("%d of %d entries came; ranges asked: %v", seen, n, asked)
	}
}

type listerFunc func(context.Context, *api.ListRequest) (*api.ListResult, error)

func (f listerFunc) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	return f(ctx, r)
}

// TestListCursor: the last page has the cursor of the first one, which the pages carry.
func TestListCursor(t *testing.T) {
	h, m := memoryAPI()
	put(t, h, "p/a", "x")
	put(t, h, "p/b", "x")
	first := list(t, h, "?prefix=p/&limit=1")
	if first.Cursor != "" || first.Next == "" {
		t.Fatalf("%+v", first)
	}
	put(t, h, "p/a", "y")
	last := list(t, h, "?page="+first.Next)
	if last.Cursor == "" || last.Next != "" {
		t.Fatalf("%+v", last)
	}
	s, err := m.Watch(t.Context(), &api.WatchRequest{Range: api.PrefixRange("p/"), From: api.Cursor(last.Cursor)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		b, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Events) > 0 {
			if b.Events[0].Key != "p/a" || string(b.Events[0].Value) != "y" {
				t.Errorf("after the list: %+v", b.Events)
			}
			break
		}
	}
	if l := list(t, h, "?prefix=p/&consistency=stale"); l.Cursor != "" {
		t.Errorf("a list that may be stale has the cursor %q", l.Cursor)
	}
	// A list whose first page has none has none at all, though its last page alone would have one.
	first = list(t, h, "?prefix=p/&limit=1&consistency=stale")
	if last = list(t, h, "?page="+first.Next); len(last.Entries) != 1 || last.Cursor != "" {
		t.Errorf("behind a page that may be stale: %+v", last)
	}
	if l := list(t, h, "?start=z&end=a"); len(l.Entries) != 0 {
		t.Errorf("%+v", l)
	}
}
