package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Page is one part of a list.
type Page struct {
	// Entries are in key order, or in reverse if that was requested.
	Entries []api.Entry
	// Next, if not empty, is the position of the next page. Pass it to [FromPage].
	Next string
	// Cursor is where a [Client.Watch] of the prefix goes on: with what changed after the first page was read. Only the last page has
	// one, and only if no page may be stale.
	Cursor api.Cursor
	// Stale means that a replica answered part of the page. The state of the replica may be as old as Age.
	Stale bool
	Age   time.Duration
}

// List lists the keys that begin with prefix, in key order. It fetches the entries in pages while the loop runs:
//
//	for e, err := range c.List(ctx, "us-east/") {
//		if err != nil {
//			return err
//		}
//		fmt.Println(e.Key, e.Version)
//	}
//
// A page is linearizable per group. Several pages, or the entries of several groups, are not one snapshot. The loop ends after an
// error. [Limit] bounds the number of entries; without it, List returns all. [CursorInto] gives the cursor from which a
// [Client.Watch] goes on. Each page is a call of its own: without a deadline
// in ctx, [Config].Timeout bounds each page.
func (c *Client) List(ctx context.Context, prefix api.Key, opts ...ListOption) iter.Seq2[api.Entry, error] {
	return func(yield func(api.Entry, error) bool) {
		o := *collect(opts)
		left := o.limit
		for {
			o.limit = api.MaxListLimit
			if left > 0 {
				o.limit = min(left, api.MaxListLimit)
			}
			p, err := c.listPage(ctx, prefix, &o)
			if err != nil {
				yield(api.Entry{}, err)
				return
			}
			for _, e := range p.Entries {
				if !yield(e, nil) {
					return
				}
			}
			if left > 0 {
				if left -= len(p.Entries); left <= 0 && p.Next != "" {
					return
				}
			}
			if p.Next == "" {
				if o.cursor != nil {
					*o.cursor = p.Cursor
				}
				return
			}
			o.page = p.Next
		}
	}
}

// ListPage returns one page of a list of the keys that begin with prefix. A page has at most [api.MaxListLimit] entries and
// [api.MaxListBytes] bytes of content, and at most [api.DefaultListLimit] entries if no [Limit] is given. The error is
// [api.CodeInvalid] if the limit is negative and [api.CodeTooLarge] if it is over [api.MaxListLimit]. [api.CodeUnavailable] means
// that no page could be read in time.
func (c *Client) ListPage(ctx context.Context, prefix api.Key, opts ...ListOption) (Page, error) {
	return c.listPage(ctx, prefix, collect(opts))
}

// maxPageAnswer bounds the body of a page: its 8 MiB of content, and 1 MiB for the rest.
const maxPageAnswer = api.MaxListBytes + 1<<20

func (c *Client) listPage(ctx context.Context, prefix api.Key, o *listOptions) (Page, error) {
	q := &call{op: "list", key: prefix, method: http.MethodGet, path: "/v1/kv", raw: "/v1/kv", query: url.Values{}, limit: maxPageAnswer}
	if o.limit < 0 {
		return Page{}, asRefused(q, &api.Error{Code: api.CodeInvalid, Hint: "the limit is negative"})
	}
	if !o.rangeQuery(prefix, q.query) {
		return Page{}, nil
	}
	if o.reverse {
		q.query.Set("reverse", "true")
	}
	if o.keysOnly {
		q.query.Set("keys_only", "true")
	}
	if o.limit > 0 {
		q.query.Set("limit", strconv.Itoa(o.limit))
	}
	if o.stale {
		q.query.Set("consistency", api.Stale.String())
	}
	if o.page != "" {
		q.query.Set("page", o.page)
	}
	var direct *Page
	q.direct = func(ctx context.Context, s api.Store) error {
		direct = new(Page)
		return o.listDirectly(ctx, s, prefix, direct)
	}
	a, err := c.run(ctx, q)
	if err != nil {
		return Page{}, err
	}
	if direct != nil {
		return *direct, nil
	}
	p, err := readPage(a.body)
	if err != nil {
		return Page{}, asRefused(q, err)
	}
	p.Stale = a.header.Get("Edgehold-Served-By") == api.ServedByStale.String()
	if p.Stale {
		seconds, _ := strconv.ParseFloat(a.header.Get("Edgehold-Age"), 64)
		p.Age = time.Duration(seconds * float64(time.Second))
	}
	return p, nil
}

// rangeQuery requests the keys with the prefix that are within the bounds. It returns false if there cannot be any.
func (o *listOptions) rangeQuery(prefix api.Key, query url.Values) bool {
	if o.bounds == (api.Range{}) {
		query.Set("prefix", string(prefix))
		return true
	}
	r, ok := api.PrefixRange(prefix).Intersect(o.bounds)
	if !ok || r.End != "" && r.Start >= r.End {
		return false
	}
	query.Set("start", string(r.Start))
	query.Set("end", string(r.End))
	return true
}

// textBytes returns the value of a JSON member that is text or, with _base64 after its name, in base64.
func textBytes(text *string, b64 []byte) []byte {
	if text != nil {
		return []byte(*text)
	}
	return b64
}

// entryBody is an entry in JSON.
type entryBody struct {
	Key      *string `json:"key"`
	KeyB64   []byte  `json:"key_base64"`
	Value    *string `json:"value"`
	ValueB64 []byte  `json:"value_base64"`
	Version  string  `json:"version"`
	TTL      string  `json:"ttl"`
}

func readPage(body []byte) (Page, error) {
	var in struct {
		Entries []entryBody `json:"entries"`
		Next    string      `json:"next"`
		Cursor  api.Cursor  `json:"cursor"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return Page{}, &api.Error{Code: api.CodeInternal, Hint: "the page is not the JSON that it should be", Err: err}
	}
	entries, err := entriesOf(in.Entries)
	if err != nil {
		return Page{}, &api.Error{Code: api.CodeInternal, Hint: "an entry of the page is not as it should be", Err: err}
	}
	return Page{Next: in.Next, Cursor: in.Cursor, Entries: entries}, nil
}

// entriesOf returns the entries of a list.
func entriesOf(in []entryBody) ([]api.Entry, error) {
	out := make([]api.Entry, 0, len(in))
	for _, e := range in {
		v, err := api.ParseVersion(e.Version)
		if err != nil {
			return nil, err
		}
		ttl, err := parseTTL(e.TTL)
		if err != nil {
			return nil, err
		}
		out = append(out, api.Entry{
			Key: api.Key(textBytes(e.Key, e.KeyB64)), Value: textBytes(e.Value, e.ValueB64), Version: v, Exists: true, TTL: ttl,
		})
	}
	return out, nil
}
