package workerskv

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/front"
)

// get answers with a value, its metadata and its expiration.
func (q *request) get(x *door.Exchange) error {
	var entries [2]api.Entry
	out := api.ReadResult{Entries: entries[:0]}
	if err := q.read(x.Ctx, x.Store, []string{q.name}, true, &out); err != nil {
		return err
	}
	value, meta := &out.Entries[0], &out.Entries[1]
	if !value.Exists {
		return door.WithStatus(http.StatusNotFound, &api.Error{Code: api.CodeNotFound, Hint: "Not Found"})
	}
	h := x.W.Header()
	if m := metadataOf(meta.Value); m != nil {
		h[metadataHeader] = []string{string(m)}
	}
	if value.TTL > 0 {
		h[expirationHeader] = []string{strconv.FormatInt(expiration(value.TTL, time.Now()), 10)}
	}
	h["Edgehold-Served-By"] = []string{out.ServedBy.String()}
	h[cacheHeader] = missed
	if out.ServedBy != api.ServedByOwner {
		h[cacheHeader] = hit
	}
	reply(x, http.StatusOK, octetStream, value.Value)
	return nil
}

var (
	hit         = []string{"HIT"}
	missed      = []string{"MISS"}
	octetStream = []string{"application/octet-stream"}
	plainText   = []string{"text/plain; charset=utf-8"}
	jsonType    = []string{"application/json"}
)

// read reads the named keys; metadata: each is followed by its metadata, which is that of the value.
//
// A bounded read of two copies is not one of an instant. If it is not certain that the metadata is that of the value, the read is
// done again as a linearizable one. One case remains: a value from a copy, without metadata, while no owner can be asked.
func (q *request) read(ctx context.Context, s api.Store, names []string, metadata bool, out *api.ReadResult) error {
	var few [2]api.Key
	r := &api.ReadRequest{Keys: few[:0], Snapshot: metadata}
	for _, name := range names {
		r.Keys = append(r.Keys, q.namespace.value(name))
		if metadata {
			r.Keys = append(r.Keys, q.namespace.meta(name))
		}
	}
	if q.bounded {
		r.Consistency, r.MaxStale, r.Snapshot = api.Bounded, q.maxStale, false
		if err := s.Read(ctx, r, out); err != nil || !metadata || out.Snapshot || out.ServedBy == api.ServedByStale && paired(out.Entries) {
			return err
		}
		r.Consistency, r.MaxStale, r.Snapshot = api.Linearizable, 0, true
	}
	return s.Read(ctx, r, out)
}

// paired reports whether each metadata that there is was written with its value.
func paired(entries []api.Entry) bool {
	for i := 0; i < len(entries); i += 2 {
		if value, meta := &entries[i], &entries[i+1]; meta.Exists && (!value.Exists || meta.Version != value.Version) {
			return false
		}
	}
	return true
}

// expiration returns when a key ends that has still that long to live, in seconds of Unix time.
func expiration(ttl time.Duration, now time.Time) int64 {
	return now.Add(ttl).Round(time.Second).Unix()
}

// put writes a value and its metadata. A key that has had metadata has none after a put without it.
func (f *frontend) put(x *door.Exchange, q *request) error {
	key := q.namespace.value(q.name)
	if err := f.MayKey(x.Base, string(put), front.Write, key); err != nil { // before the body is read
		return err
	}
	value, err := body(x, "Value", api.MaxValueBytes)
	if err != nil {
		return err
	}
	meta := api.Op{Kind: api.OpDelete, Key: q.namespace.meta(q.name)}
	if q.metadata != nil {
		meta = api.Op{Kind: api.OpPut, Key: meta.Key, Value: q.metadata, TTL: q.ttl}
	}
	return f.write(x, api.Op{Kind: api.OpPut, Key: key, Value: value, TTL: q.ttl}, meta)
}

// remove deletes a key, if there is one, and its metadata.
func (f *frontend) remove(x *door.Exchange, q *request) error {
	return f.write(x, api.Op{Kind: api.OpDelete, Key: q.namespace.value(q.name)}, api.Op{Kind: api.OpDelete, Key: q.namespace.meta(q.name)})
}

func (f *frontend) write(x *door.Exchange, steps ...api.Op) error {
	id, finished := f.Number()
	defer finished()
	if _, err := x.Store.Do(x.Ctx, &api.Txn{ID: id, Then: steps}); err != nil {
		return err
	}
	reply(x, http.StatusOK, plainText, nil)
	return nil
}

// body reads a body of at most limit bytes.
func body(x *door.Exchange, what string, limit int64) ([]byte, error) {
	if n := x.R.ContentLength; n > limit {
		return nil, refuse(http.StatusRequestEntityTooLarge, what+" length of "+strconv.FormatInt(n, 10)+" exceeds limit of "+strconv.FormatInt(limit, 10)+".")
	}
	b, err := x.Body(limit, what)
	if api.CodeOf(err) == api.CodeTooLarge {
		return nil, refuse(http.StatusRequestEntityTooLarge, what+" length exceeds limit of "+strconv.FormatInt(limit, 10)+".")
	}
	return b, err
}

// reply answers with a whole body.
func reply(x *door.Exchange, status int, contentType []string, b []byte) {
	h := x.W.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	x.Reply(status, len(b))
	if x.R.Method != http.MethodHead {
		_, _ = x.W.Write(b) // the client may have gone
	}
}
