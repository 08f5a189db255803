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

// Page is a part of a list.
type Page struct {
	// Entries are in key order, or the reverse if that was asked.
	Entries []api.Entry
	// Next, where not empty, is where the list goes on: give it to [FromPage].
	Next string
	// Stale: some of the page is of a replica, whose state may be as old as Age.
	Stale bool
	Age   time.Duration
}

// List lists the keys that begin with prefix, in key order, page by page as the loop goes on:
//
//	for e, err := range c.List(ctx, "us-east/") {
//		if err != nil {
//			return err
//		}
//		fmt.Println(e.Key, e.Version)
//	}
//
// Each page is linearizable per group; pages and groups together are no snapshot. After an error the loop ends.
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
				if left -= len(p.Entries); left <= 0 {
					return
				}
			}
			if p.Next == "" {
				return
			}
			o.page = p.Next
		}
	}
}

// ListPage is one page of a [Client.List].
func (c *Client) ListPage(ctx context.Context, prefix api.Key, opts ...ListOption) (Page, error) {
	return c.listPage(ctx, prefix, collect(opts))
}

// maxPageAnswer bounds what a page may be: its 8 MiB, and some room.
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

// rangeQuery asks for the keys with the prefix between the bounds; false where there cannot be any.
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

// textBytes reads a member that stands as text or, with _base64 after its name, in base64.
func textBytes(text *string, b64 []byte) []byte {
	if text != nil {
		return []byte(*text)
	}
	return b64
}

func readPage(body []byte) (Page, error) {
	var in struct {
		Entries []struct {
			Key      *string `json:"key"`
			KeyB64   []byte  `json:"key_base64"`
			Value    *string `json:"value"`
			ValueB64 []byte  `json:"value_base64"`
			Version  string  `json:"version"`
		} `json:"entries"`
		Next string `json:"next"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return Page{}, &api.Error{Code: api.CodeInternal, Hint: "the page is not the JSON that it should be", Err: err}
	}
	p := Page{Next: in.Next, Entries: make([]api.Entry, 0, len(in.Entries))}
	for _, e := range in.Entries {
		v, err := api.ParseVersion(e.Version)
		if err != nil {
			return Page{}, &api.Error{Code: api.CodeInternal, Hint: "an entry of the page has no version", Err: err}
		}
		p.Entries = append(p.Entries, api.Entry{
			Key: api.Key(textBytes(e.Key, e.KeyB64)), Value: textBytes(e.Value, e.ValueB64), Version: v, Exists: true,
		})
	}
	return p, nil
}
