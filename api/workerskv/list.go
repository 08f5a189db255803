package workerskv

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
)

// page is the answer to a list.
type page struct {
	Keys         []listed `json:"keys"`
	ListComplete bool     `json:"list_complete"`
	Cursor       string   `json:"cursor,omitempty"`
	CacheStatus  *string  `json:"cacheStatus"`
}

type listed struct {
	Name       string `json:"name"`
	Expiration int64  `json:"expiration,omitempty"`
	Metadata   string `json:"metadata,omitempty"` // JSON as text, which the binding parses
}

// list answers with a page of keys and their metadata, as they were at one instant between call and return: the owner lists both at once.
// It can, as all keys of a namespace share their first two segments and so have one owner, unless a part of a namespace is placed by
// itself.
func (q *request) list(x *door.Exchange) error {
	p := page{Keys: []listed{}, ListComplete: true}
	if ranges := q.namespace.ranges(q.prefix, q.after); len(ranges) > 0 {
		res, err := x.Store.List(x.Ctx, q.together(ranges))
		switch {
		case api.CodeOf(err) == api.CodeInvalid:
			return refuse(http.StatusBadRequest, "A part of the namespace has another home. A list that meets it would not be of one instant.")
		case err != nil:
			return err
		}
		if len(res.Also) != len(ranges) {
			return &api.Error{Code: api.CodeUnavailable, Op: "list", Hint: "the owner of the namespace runs an older version"}
		}
		if metas := &res.Also[len(res.Also)-1]; metas.More && len(metas.Entries) == 0 {
			return api.Errorf(api.CodeTooLarge, "the names and the metadata are over the limit of %d bytes of a page: list with a smaller limit", api.MaxListBytes)
		}
		p = q.page(res)
	}
	b, err := json.Marshal(p)
	if err != nil {
		return &api.Error{Code: api.CodeInternal, Err: err}
	}
	reply(x, http.StatusOK, jsonType, b)
	return nil
}

// together asks for the keys in the ranges and, last, for their metadata.
func (q *request) together(ranges []api.Range) *api.ListRequest {
	r := &api.ListRequest{Range: ranges[0], Limit: q.limit, KeysOnly: true}
	for _, more := range ranges[1:] {
		r.Also = append(r.Also, api.ListPart{Range: more, Limit: q.limit, KeysOnly: true})
	}
	r.Also = append(r.Also, api.ListPart{Range: q.namespace.metas(q.prefix, q.after), Limit: api.MaxListLimit})
	return r
}

// page makes the answer of what was listed together.
func (q *request) page(res *api.ListResult) page {
	last := len(res.Also) - 1
	keys, more := res.Entries, res.More
	for _, also := range res.Also[:last] {
		if !more {
			keys, more = append(keys, also.Entries...), also.More
		}
	}
	if len(keys) > q.limit {
		keys, more = keys[:q.limit], true
	}
	metas, end := res.Also[last].Entries, api.Key("") // the last key of the page, if there is more
	if more {
		end = keys[len(keys)-1].Key
	}
	if n := len(metas); res.Also[last].More { // there is more metadata than keys: other means have written it
		if covered := q.namespace.value(q.namespace.ofMeta(metas[n-1].Key)); end == "" || covered < end {
			end = covered
		}
	}
	p := page{Keys: []listed{}, ListComplete: end == ""}
	if end != "" {
		p.Cursor = cursorOf(q.namespace, end)
	}
	for now := time.Now(); len(keys) > 0 && (end == "" || keys[0].Key <= end); keys = keys[1:] {
		name, ok := q.namespace.named(keys[0].Key)
		if !ok {
			continue
		}
		k, meta := listed{Name: name}, q.namespace.meta(name)
		for len(metas) > 0 && metas[0].Key < meta {
			metas = metas[1:]
		}
		if len(metas) > 0 && metas[0].Key == meta {
			k.Metadata = string(metadataOf(metas[0].Value))
		}
		if keys[0].TTL > 0 {
			k.Expiration = expiration(keys[0].TTL, now)
		}
		p.Keys = append(p.Keys, k)
	}
	return p
}
