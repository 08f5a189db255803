package client

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TTL makes a put key expire d after the leader of its group took the write; [api.MinTTL] to [api.MaxTTL]. Without this option a
// put key does not expire, even if it would have before. It is an option of [Client.Put] and of a [Tx]'s Put, Append, Sum64, Min64
// and Max64 alone; a [Client.Delete] with it fails with [api.CodeInvalid].
func TTL(d time.Duration) WriteOption {
	return func(o *writeOptions) { o.ttl = &d }
}

// KeepTTL makes a put leave the deadline of its key as it is: a key that expires does so when it would have before. A key that is
// absent, or does not expire, does not expire afterwards. It is an option of what may have a [TTL], and excludes that.
func KeepTTL() WriteOption {
	return func(o *writeOptions) { o.keepTTL = true }
}

// Touch makes a key that expires live for d from now, unless it lives longer anyway, and returns what it has to live. The key keeps
// its value and version. A key that does not expire stays so: Touch returns 0.
//
// The error is [api.CodeNotFound] if the key is absent: it may have expired. [api.CodeInvalid] means that d is not from
// [api.MinTTL] to [api.MaxTTL], [api.CodeAmbiguous] that the outcome is unknown. A Touch may be repeated at any time.
func (c *Client) Touch(ctx context.Context, key api.Key, d time.Duration) (time.Duration, error) {
	t := &api.Txn{Then: []api.Op{{Kind: api.OpTouch, Key: key, TTL: d}}}
	q := txnCall("touch", t)
	q.key, q.txn = key, t
	q.writes, q.once, q.telling = true, true, true // once: it has no id, as a stored result would be out of date
	if err := t.Check(); err != nil {
		return 0, asRefused(q, err)
	}
	a, err := c.run(ctx, q)
	if err != nil {
		return 0, err
	}
	res := a.txn
	if res == nil {
		if res, err = parseTxnAnswer(t, a.body); err != nil {
			return 0, asRefused(q, &api.Error{Code: api.CodeAmbiguous, Hint: "the answer is not the JSON that it should be: is the endpoint Edgehold's?", Err: err})
		}
	}
	if e := &res.Entries[0]; e.Exists {
		return e.TTL, nil
	}
	return 0, asRefused(q, &api.Error{Code: api.CodeNotFound, Version: res.Entries[0].Version, Hint: "there is no such key"})
}

// Touch makes a key that expires live for d from the commit, unless it lives longer anyway; see [Client.Touch]. A key that is
// absent, or does not expire, stays as it is. A transaction that touches a key must be of one group; else it fails with
// [api.CodeInvalid].
func (tx *Tx) Touch(key api.Key, d time.Duration) error {
	return tx.write("touch", api.Op{Kind: api.OpTouch, Key: key, TTL: d})
}

// writeExpiring adds a write that may have the options TTL and KeepTTL, and no other.
func (tx *Tx) writeExpiring(name string, op api.Op, opts []WriteOption) error {
	o := collect(opts)
	if o.absent || o.exists || o.version != nil || o.key != nil {
		return tx.refuse(name, op.Key, api.Errorf(api.CodeInvalid, "the only options of a write in a transaction are TTL and KeepTTL; read the key to test it"))
	}
	var err error
	if op.TTL, err = o.lifetime(); err != nil {
		return tx.refuse(name, op.Key, err)
	}
	op.KeepTTL = o.keepTTL
	return tx.write(name, op)
}

// expires reports whether an option is about the deadline of the key.
func (o *writeOptions) expires() bool { return o.ttl != nil || o.keepTTL }

// lifetime returns the time to live of the put, 0 if it has none.
func (o *writeOptions) lifetime() (time.Duration, error) {
	switch {
	case o.ttl == nil:
		return 0, nil
	case o.keepTTL:
		return 0, api.Errorf(api.CodeInvalid, "a write has TTL or KeepTTL, not both")
	}
	return *o.ttl, api.CheckTTL(*o.ttl)
}

// ttlIn returns the time to live in the header of an answer, 0 if there is none.
func ttlIn(h http.Header) time.Duration {
	seconds, err := strconv.ParseFloat(h.Get("Edgehold-TTL"), 64)
	if err != nil || !(seconds > 0) {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

// parseTTL returns the time to live in the body of an answer, 0 if there is none.
func parseTTL(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	return time.ParseDuration(text)
}
