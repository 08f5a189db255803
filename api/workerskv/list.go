package workerskv

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/front"
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

// list answers with a page of keys and their metadata.
func (f *frontend) list(x *door.Exchange, q *request) error {
	// Metadata is read after keys are listed: without the right to read, nothing is.
	if err := f.MayKey(x.Base, string(list), front.Read, q.namespace.meta(q.prefix)); err != nil {
		return err
	}
	l := lister{faults: f.Faults, ctx: x.Ctx, store: x.Store, request: q}
	found, more, err := l.keys(q.namespace.ranges(q.prefix, q.after), q.limit)
	if err != nil {
		return err
	}
	states := l.states(found)
	if err := l.complete(states); err != nil {
		return err
	}
	p := page{Keys: []listed{}, ListComplete: !more}
	if more {
		p.Cursor = cursorOf(q.namespace, found[len(found)-1].Key)
	}
	now := time.Now()
	for _, s := range states {
		if s.gone {
			continue
		}
		k := listed{Name: s.name, Metadata: string(metadataOf(s.metadata))}
		if s.ttl > 0 {
			k.Expiration = expiration(s.ttl, now)
		}
		p.Keys = append(p.Keys, k)
	}
	b, err := json.Marshal(p)
	if err != nil {
		return &api.Error{Code: api.CodeInternal, Err: err}
	}
	reply(x, http.StatusOK, jsonType, b)
	return nil
}
