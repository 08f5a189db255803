package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Value is the result of a Get.
type Value struct {
	// Value belongs to the caller and is shared with no other.
	Value   []byte
	Version api.Version
	// ServedBy says what answered: the owner, a lease at the node, or an old copy at the node (stale).
	ServedBy api.ServedBy
	// Age is how old a stale answer may be at most. It is 0 for other answers.
	Age time.Duration
	// Owner is the group that owns the key. Node is the node that answered.
	Owner api.GroupID
	Node  api.NodeID
	// Unchanged means that the key is still at the version given to [IfChanged]. Value is left out.
	Unchanged bool
	// TTL is how long the key had still to live when the answer was made. 0 means that it does not expire.
	TTL time.Duration
}

// Get returns the value of key. The read is linearizable unless an option says otherwise ([Quorum], [MaxStale], [Stale]).
//
// If the key is absent, the error is [api.CodeNotFound], and the returned Value still has the version of the absence and the node
// that answered. [api.CodeUnavailable] means that no node could answer at the requested consistency in time.
func (c *Client) Get(ctx context.Context, key api.Key, opts ...ReadOption) (Value, error) {
	if len(opts) == 0 {
		if v, ok, err := c.getLeased(ctx, key); ok {
			return v, err
		}
	}
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
	v, _ := readValue(q, a) // the error to return is that the key is absent
	v.Value = nil
	return v, err
}

// valueOf returns the value in an answer over a stream.
func valueOf(q *call, a *answer) (Value, error) {
	e := a.read.Entries[0]
	v := Value{
		Value: e.Value, Version: e.Version, ServedBy: a.read.ServedBy, Age: a.read.Age, Owner: a.read.Group, Node: a.node,
		Unchanged: e.Unchanged, TTL: e.TTL,
	}
	switch {
	case !e.Exists:
		return v, absent(q, e.Version)
	case v.Value == nil && !v.Unchanged:
		v.Value = []byte{} // as the body of an empty value is
	}
	return v, nil
}

// absent is the error of a read of a key that does not exist. v is the version of its absence.
func absent(q *call, v api.Version) error {
	return asRefused(q, &api.Error{Code: api.CodeNotFound, Version: v, Hint: "there is no such key"})
}

// readValue returns the value in an HTTP answer.
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
	v.TTL = ttlIn(a.header)
	return v, nil
}

// keyCall returns a new call about one key.
func keyCall(op, method string, key api.Key) *call {
	return &call{op: op, key: key, method: method}
}

// asRefused returns err, which occurred before anything was sent, as an error of the call.
func asRefused(q *call, err error) error {
	e := *api.AsError(err)
	e.Op, e.Key = q.op, q.key
	return &e
}

func quote(v api.Version) string { return `"` + v.String() + `"` }
