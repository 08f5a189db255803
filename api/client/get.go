package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Value is what a Get found, and who answered.
type Value struct {
	// Value is the caller's own: nobody else has it.
	Value   []byte
	Version api.Version
	// ServedBy is who answered: the owner, a lease at the node, or what the node had left (stale).
	ServedBy api.ServedBy
	// Age is how old a stale answer may be at most; else 0.
	Age time.Duration
	// Owner is the group that owns the key, Node the node that answered.
	Owner api.GroupID
	Node  api.NodeID
	// Unchanged: the key is still at the version of [IfChanged]; Value was left out.
	Unchanged bool
}

// Get reads a key, linearizably if no option says otherwise. [api.CodeNotFound] where it is absent: then the Value still
// tells the version of its absence and who answered.
func (c *Client) Get(ctx context.Context, key api.Key, opts ...ReadOption) (Value, error) {
	o := collect(opts)
	q := keyCall("get", http.MethodGet, key)
	if err := api.CheckKey(key); err != nil {
		return Value{}, asRefused(q, err)
	}
	q.limit = api.MaxValueBytes
	q.read = &api.ReadRequest{Keys: []api.Key{key}, Consistency: o.consistency, MaxStale: o.maxStale}
	if o.known != nil {
		q.read.Known = []api.Version{*o.known}
	}
	q.query = url.Values{}
	if o.consistency != api.Linearizable {
		q.query.Set("consistency", o.consistency.String())
	}
	if o.consistency == api.Bounded {
		q.query.Set("max_stale", o.maxStale.String())
	}
	if o.known != nil {
		q.header = func(h http.Header) { h.Set("If-None-Match", quote(*o.known)) }
	}
	a, err := c.run(ctx, q)
	switch {
	case err == nil && a.read != nil:
		return valueOf(q, a)
	case err == nil:
		return readValue(q, a)
	case a == nil || api.CodeOf(err) != api.CodeNotFound:
		return Value{}, err
	}
	v, _ := readValue(q, a) // the error to tell is that the key is absent
	v.Value = nil
	return v, err
}

// valueOf is what a stream's answer tells.
func valueOf(q *call, a *answer) (Value, error) {
	e := a.read.Entries[0]
	v := Value{
		Value: e.Value, Version: e.Version, ServedBy: a.read.ServedBy, Age: a.read.Age, Owner: a.read.Group, Node: a.node,
		Unchanged: e.Unchanged,
	}
	switch {
	case !e.Exists:
		return v, asRefused(q, &api.Error{Code: api.CodeNotFound, Version: e.Version, Hint: "there is no such key"})
	case v.Value == nil && !v.Unchanged:
		v.Value = []byte{} // as a body without bytes is
	}
	return v, nil
}

// readValue reads what the header tells.
func readValue(q *call, a *answer) (Value, error) {
	v := Value{
		Value: a.body, Owner: api.GroupID(a.header.Get("Edgehold-Owner")), Node: api.NodeID(a.header.Get("Edgehold-Node")),
		Unchanged: a.status == http.StatusNotModified,
	}
	var err error
	if v.Version, err = api.ParseVersion(a.header.Get("Edgehold-Version")); err != nil {
		return Value{}, asRefused(q, api.Errorf(api.CodeInternal, "the answer has no version: is the endpoint Edgehold's?"))
	}
	switch a.header.Get("Edgehold-Served-By") {
	case api.ServedByLease.String():
		v.ServedBy = api.ServedByLease
	case api.ServedByStale.String():
		v.ServedBy = api.ServedByStale
		if seconds, err := strconv.ParseFloat(a.header.Get("Edgehold-Age"), 64); err == nil {
			v.Age = time.Duration(seconds * float64(time.Second))
		}
	}
	if v.Unchanged {
		v.Value = nil
	}
	return v, nil
}

// keyCall is the beginning of a call about one key.
func keyCall(op, method string, key api.Key) *call {
	return &call{op: op, key: key, method: method}
}

// asRefused is err, found before anything was sent, as the call's.
func asRefused(q *call, err error) error {
	e := *api.AsError(err)
	e.Op, e.Key = q.op, q.key
	return &e
}

func quote(v api.Version) string { return `"` + v.String() + `"` }
