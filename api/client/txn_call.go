package client

import (
	"context"
	"net/http"

	"github.com/edgehold/edgehold/api"
)

const txnPath = "/v1/txn"

// ErrElided is the error of a value that a repeated answer does not have any more.
var ErrElided = api.ErrElided

// maxTxnAnswer bounds what is read of the answer to a transaction: its keys and what it read at their longest, each byte written
// as \u00XX, and room for the rest.
const maxTxnAnswer = 6*(api.MaxTxnBytes+api.MaxTxnWorkBytes) + 1<<20

// txnCall is the beginning of a call that is a transaction; where it is sent as a request of its own, it is t in JSON.
func txnCall(op string, t *api.Txn) *call {
	q := &call{op: op, method: http.MethodPost, path: txnPath, raw: txnPath, limit: maxTxnAnswer}
	q.header = jsonBody
	q.render = func() []byte { return renderTxn(t) }
	q.size = t.Size()
	return q
}

// do carries a transaction out, at most once under the id. Where no node can do so now, and none may have done, the error
// comes after one round of all nodes; what is unknown is asked again until it is known, or ctx ends.
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

// readAll reads keys in one round trip, as q asks; where it goes as a request of its own it is a snapshot whether asked for
// or not, and nothing known is left out. It tells who answered.
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

// SendTxn carries out a transaction given as the JSON of POST /v1/txn, and returns the answer's body as the node sent it: for
// tools that have the one and print the other. Programs use [Client.Txn]. Of the options only [IdempotencyKey] may be
// given; without it the SDK makes an id of its own, so that the transaction takes effect at most once in either case. A get
// of which the answer says "elided":true has [ErrElided]: it repeats an answer whose value was too long to be kept.
func (c *Client) SendTxn(ctx context.Context, body []byte, opts ...WriteOption) ([]byte, error) {
	q := txnCall("txn", &api.Txn{})
	q.render, q.body = nil, body
	q.writes, q.once, q.telling, q.fickle = true, true, true, true
	o := collect(opts)
	if o.absent || o.exists || o.version != nil {
		return nil, asRefused(q, api.Errorf(api.CodeInvalid, "the conditions of a transaction stand in its if"))
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
