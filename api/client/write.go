package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/edgehold/edgehold/api"
)

// Put sets key to value, if the conditions of its options hold, and returns the new version of the key. The caller may change
// value once Put has returned. The key does not expire, unless [TTL] or [KeepTTL] says so.
//
// The error is [api.CodePreconditionFailed], with the current version, if a condition does not hold, and [api.CodeAmbiguous] if
// the outcome is unknown. After any other error nothing was written. [api.CodeTooLarge] means that the key is over
// [api.MaxKeyBytes] or the value over [api.MaxValueBytes], [api.CodeConflict] that an [IdempotencyKey] was used before for
// another write.
func (c *Client) Put(ctx context.Context, key api.Key, value []byte, opts ...WriteOption) (api.Version, error) {
	q, o := keyCall("put", http.MethodPut, key), collect(opts)
	ttl, err := o.lifetime()
	if err != nil {
		return api.Version{}, asRefused(q, err)
	}
	if err := api.CheckValue(value); err != nil {
		return api.Version{}, asRefused(q, err)
	}
	q.body = append([]byte{}, value...) // a transport may still read it after Put has returned
	q.txn = &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: key, Value: q.body, TTL: ttl, KeepTTL: o.keepTTL}}}
	if ttl > 0 {
		q.query = url.Values{"ttl": {ttl.String()}}
	}
	if o.keepTTL {
		q.query = url.Values{"keep_ttl": {"true"}}
	}
	return versionOf(c.write(ctx, q, o))
}

// Delete removes key, if the conditions of its options hold, and returns the version of its absence. Deleting an absent key is
// not an error. The errors are those of [Client.Put].
func (c *Client) Delete(ctx context.Context, key api.Key, opts ...WriteOption) (api.Version, error) {
	q, o := keyCall("delete", http.MethodDelete, key), collect(opts)
	if o.expires() {
		return api.Version{}, asRefused(q, api.Errorf(api.CodeInvalid, "TTL and KeepTTL are options of a put"))
	}
	q.txn = &api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: key}}}
	return versionOf(c.write(ctx, q, o))
}

func versionOf(w written, err error) (api.Version, error) {
	if err != nil {
		return api.Version{}, err
	}
	return w.version, nil
}

// written is the result of a write.
type written struct {
	version  api.Version
	exists   bool // the key exists now
	replayed bool // an earlier request with the same id carried it out
	owner    api.GroupID
}

// write carries out the write. With [api.CodePreconditionFailed] it also returns the key's current state.
func (c *Client) write(ctx context.Context, q *call, o *writeOptions) (written, error) {
	if err := api.CheckKey(q.key); err != nil {
		return written{}, asRefused(q, err)
	}
	q.header = func(h http.Header) {
		if q.body != nil {
			h.Set("Content-Type", "application/octet-stream")
		}
		o.conditions(h)
	}
	q.txn.If = o.conds(q.key)
	q.limit, q.writes, q.once = maxWriteAnswer, true, true
	q.fickle = o.version == nil // a key may be absent again at another attempt; a version never comes again
	end, err := c.identify(q, o)
	if err != nil {
		return written{}, err
	}
	defer end()
	a, err := c.run(ctx, q)
	if a == nil {
		return written{}, err
	}
	if a.txn != nil {
		return writtenOf(q, a.txn)
	}
	w := readWritten(a.header)
	if err != nil {
		return w, err
	}
	if w.version.IsZero() {
		return written{}, asRefused(q, &api.Error{Code: api.CodeAmbiguous, Hint: "the answer has no version: is the endpoint Edgehold's?"})
	}
	return w, nil
}

// identify gives the call the id from the options, or one of the client's. The caller must call end when it will not send the
// call again.
func (c *Client) identify(q *call, o *writeOptions) (end func(), err error) {
	if o.key != nil {
		id, err := api.ParseIdempotencyKey(*o.key)
		if err != nil {
			return nil, asRefused(q, err)
		}
		q.id, q.given = func() identity { return identity{id, *o.key} }, id.Seq == 0
		return func() {}, nil
	}
	id, end, err := c.beginWrite()
	if err != nil {
		return nil, asRefused(q, err)
	}
	q.id = func() identity { return identity{request: id()} }
	return end, nil
}

// maxWriteAnswer bounds the answer to a write, which has little more than the key.
const maxWriteAnswer = 64 << 10

func readWritten(h http.Header) written {
	w := written{exists: h.Get("ETag") != "", replayed: h.Get("Edgehold-Replayed") == "true", owner: api.GroupID(h.Get("Edgehold-Owner"))}
	w.version, _ = api.ParseVersion(h.Get("Edgehold-Version")) // zero if there is none
	return w
}

func (o *writeOptions) conditions(h http.Header) {
	if o.absent {
		h.Set("If-None-Match", "*")
	}
	switch {
	case o.version != nil:
		h.Set("If-Match", quote(*o.version))
	case o.exists:
		h.Set("If-Match", "*")
	}
}

// conds returns the conditions as a transaction has them, in the order in which a node reads them from the header of a request.
// So the write is the same if it is repeated in the other form.
func (o *writeOptions) conds(k api.Key) (conds []api.Cond) {
	if o.version != nil {
		conds = append(conds, api.Cond{Kind: api.CondVersion, Key: k, Version: *o.version})
	}
	if o.absent {
		conds = append(conds, api.Cond{Kind: api.CondAbsent, Key: k})
	}
	if o.exists && o.version == nil {
		conds = append(conds, api.Cond{Kind: api.CondExists, Key: k})
	}
	return conds
}

// writtenOf returns the result in an answer over a stream.
func writtenOf(q *call, res *api.TxnResult) (written, error) {
	e := res.Entries[0]
	w := written{version: e.Version, exists: e.Exists, replayed: res.Replayed, owner: res.Group}
	if res.Committed {
		w.exists = q.txn.Then[0].Kind == api.OpPut
		return w, nil
	}
	err := &api.Error{Code: api.CodePreconditionFailed, Version: e.Version, Hint: "the key is absent"}
	if e.Exists {
		err.Hint = "the key is at version " + e.Version.String()
	}
	return w, asRefused(q, err)
}
