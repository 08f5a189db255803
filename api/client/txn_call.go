package client

import (
	"context"
	"net/http"

	"github.com/edgehold/edgehold/api"
)

const txnPath = "/v1/txn"

// ErrElided is returned for a value that the answer to a repeated request no longer has. See [api.ErrElided].
var ErrElided = api.ErrElided

// maxTxnAnswer bounds how much of the answer to a transaction is read. It allows for every byte of its keys and of what it read
// written as \u00XX, and for the rest of the body.
const maxTxnAnswer = 6*(api.MaxTxnBytes+api.MaxTxnWorkBytes) + 1<<20

// txnCall returns a new call that is a transaction. Sent as an HTTP request of its own, its body is t in JSON.
func txnCall(op string, t *api.Txn) *call {
	q := &call{op: op, method: http.MethodPost, path: txnPath, raw: txnPath, limit: maxTxnAnswer}
	q.header = jsonBody
	q.render = func() []byte { return renderTxn(t) }
	q.size = t.Size()
	return q
}

// do carries out a transaction, at most once under the id. If no node can carry it out now and none may have done so, do returns
// the error after one round of all nodes. If the outcome is unknown, do asks again until it is known or ctx ends.
func (c *Client) do(ctx context.Context, t *api.Txn, id func() identity) (*api.TxnResult, error) {
	q := txnCall("txn", t)
	q.txn, q.id = t, id
	q.writes, q.once, q.telling, q.hasty, q.fickle = true, true, true, true, true
	a, err := c.run(ctx, q)
	if err != nil {
		return nil, err
	}
	if a.txn != nil {
		return a.txn, nil
	}
	res, err := parseTxnAnswer(t, a.body)
	if err != nil {
		return nil, asRefused(q, &api.Error{Code: api.CodeAmbiguous, Hint: "the answer is not the JSON that it should be: is the endpoint Edgehold's?", Err: err})
	}
	res.Group, res.Replayed = api.GroupID(a.header.Get("Edgehold-Owner")), a.header.Get("Edgehold-Replayed") == "true"
	return res, nil
}

// readAll reads keys in one round trip, as r requests. Sent as an HTTP request of its own, the read is always a snapshot, and
// known values are not left out. readAll also returns the node that answered.
func (c *Client) readAll(ctx context.Context, op string, r *api.ReadRequest) (*api.ReadResult, api.NodeID, error) {
	t := &api.Txn{Then: make([]api.Op, 0, len(r.Keys))}
	for _, k := range r.Keys {
		t.Then = append(t.Then, api.Op{Kind: api.OpGet, Key: k})
	}
	q := txnCall(op, t)
	q.read = r
	if err := r.Check(); err != nil {
		return nil, "", asRefused(q, err)
	}
	a, err := c.run(ctx, q)
	if err != nil {
		return nil, "", err
	}
	if a.read != nil {
		if r.Snapshot && !a.read.Snapshot {
			return nil, "", asRefused(q, api.Errorf(api.CodeInternal, "the answer is no snapshot"))
		}
		return a.read, a.node, nil
	}
	res, err := parseTxnAnswer(t, a.body)
	if err != nil {
		return nil, "", asRefused(q, &api.Error{Code: api.CodeInternal, Hint: "the answer is not the JSON that it should be: is the endpoint Edgehold's?", Err: err})
	}
	out := &api.ReadResult{Entries: res.Entries, Group: api.GroupID(a.header.Get("Edgehold-Owner")), Snapshot: true}
	if a.header.Get("Edgehold-Served-By") == api.ServedByLease.String() {
		out.ServedBy = api.ServedByLease
	}
	return out, api.NodeID(a.header.Get("Edgehold-Node")), nil
}

// SendTxn carries out a transaction given as the JSON of POST /v1/txn, and returns the body of the answer as the node sent it. It
// is for tools that have the one and print the other; programs use [Client.Txn].
//
// The only option allowed is [IdempotencyKey]; others fail with [api.CodeInvalid]. Without it the SDK makes an id, so that the
// transaction takes effect at most once in either case. A get with "elided":true in the answer corresponds to [ErrElided]: the
// answer is a repetition, and the value was too long to be stored. The error is [api.CodeAmbiguous] if the outcome is unknown.
// After any other error the transaction has not taken effect.
func (c *Client) SendTxn(ctx context.Context, body []byte, opts ...WriteOption) ([]byte, error) {
	q := txnCall("txn", &api.Txn{})
	q.render, q.body = nil, body
	q.writes, q.once, q.telling, q.fickle = true, true, true, true
	o := collect(opts)
	if o.absent || o.exists || o.version != nil || o.expires() {
		return nil, asRefused(q, api.Errorf(api.CodeInvalid, "the conditions of a transaction stand in its if, and a ttl in its put"))
	}
	end, err := c.identify(q, o)
	if err != nil {
		return nil, err
	}
	defer end()
	a, err := c.run(ctx, q)
	if err != nil {
		return nil, err
	}
	return a.body, nil
}
