package client

import (
	"context"
	"net/http"

	"github.com/edgehold/edgehold/api"
)

// Put sets a key to a value, under the conditions of its options, and returns the version that the key has now.
// [api.CodePreconditionFailed] (with the present version) where a condition does not hold, [api.CodeAmbiguous] where the
// outcome stayed unknown; after any other error nothing was written. The value may be changed once Put has returned.
func (c *Client) Put(ctx context.Context, key api.Key, value []byte, opts ...WriteOption) (api.Version, error) {
	q := keyCall("put", http.MethodPut, key)
	if err := api.CheckValue(value); err != nil {
		return api.Version{}, asRefused(q, err)
	}
	q.body = append([]byte{}, value...) // a transport may still be reading it when we have returned
	q.txn = &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: key, Value: q.body}}}
	return versionOf(c.write(ctx, q, collect(opts)))
}

// Delete removes a key, under the conditions of its options, and returns the version of its absence. To delete an absent
// key is no error. Errors are those of [Client.Put].
func (c *Client) Delete(ctx context.Context, key api.Key, opts ...WriteOption) (api.Version, error) {
	q := keyCall("delete", http.MethodDelete, key)
	q.txn = &api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: key}}}
	return versionOf(c.write(ctx, q, collect(opts)))
}

func versionOf(w written, err error) (api.Version, error) {
	if err != nil {
		return api.Version{}, err
	}
	return w.version, nil
}

// written is what a write's answer tells.
type written struct {
	version  api.Version
	exists   bool // the key does, now
	replayed bool // an earlier request with the same id did it
	owner    api.GroupID
}

// write carries the write out. With [api.CodePreconditionFailed] it tells the key's present state.
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
	q.fickle = o.version == nil // a key may be absent again, at another attempt; a version never comes again
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

// identify gives the call the id that the options name, or one of the client's. The caller calls end when it will send the
// call no more.
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

// maxWriteAnswer bounds the answer to a write: little but the key.
const maxWriteAnswer = 64 << 10

func readWritten(h http.Header) written {
	w := written{exists: h.Get("ETag") != "", replayed: h.Get("Edgehold-Replayed") == "true", owner: api.GroupID(h.Get("Edgehold-Owner"))}
	w.version, _ = api.ParseVersion(h.Get("Edgehold-Version")) // zero where there is none
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

// conds are the conditions as a transaction has them, in the order in which a node reads them off a request's header: tried
// again in the other form, the write is the same.
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

// writtenOf is what a stream's answer tells.
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
