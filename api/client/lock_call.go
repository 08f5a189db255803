package client

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/lock"
)

const locksPath = "/v1/locks/"

// lockCall returns a call about a lock. It may be repeated at any time, through any node: it does not count as a write, whose outcome
// might be unknown, since the entry of the lock is its record.
func lockCall(op, method, name string, body any) *call {
	q := &call{op: op, key: api.Key(name), method: method, path: locksPath + name, raw: locksPath + escapeKey(api.Key(name)), limit: maxWriteAnswer}
	q.header = jsonBody
	q.telling, q.whole = true, true
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err) // it consists of text and numbers
	}
	q.body = raw
	return q
}

// lockBody is the body of a request about a lock.
type lockBody struct {
	TTL   string `json:"ttl,omitempty"`
	Wait  string `json:"wait,omitempty"`
	Owner string `json:"owner,omitempty"`
	ID    string `json:"id,omitempty"`
	Fence uint64 `json:"fence,omitempty"`
}

// runLock sends the call, and reads the answer into out unless a Store in this process has carried it out.
func (c *Client) runLock(ctx context.Context, q *call, out any) error {
	a, err := c.run(ctx, q)
	if err != nil {
		return err
	}
	if a.body == nil { // the closure of the call has the answer
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return asRefused(q, &api.Error{Code: api.CodeInternal, Hint: errNoAnswer.Error(), Err: err})
	}
	return nil
}

func (c *Client) acquireLock(ctx context.Context, r *lock.Request, key string) (*lock.Held, error) {
	q := lockCall("lock", http.MethodPost, r.Name, lockBody{TTL: r.TTL.String(), Wait: r.Wait.String(), Owner: r.Owner})
	q.id = func() identity { return identity{key: key} }
	var direct *lock.Held
	q.locking = func(ctx context.Context, s *lock.Service) (err error) {
		own := *r
		own.ID = lock.IDOf("", key)
		direct, err = s.Acquire(ctx, &own)
		return err
	}
	var out struct {
		ID, Version string
		Fence       uint64
	}
	if err := c.runLock(ctx, q, &out); err != nil {
		return nil, err
	}
	if direct != nil {
		return direct, nil
	}
	v, err := api.ParseVersion(out.Version)
	if err != nil || out.ID == "" || out.Fence == 0 {
		return nil, asRefused(q, &api.Error{Code: api.CodeInternal, Hint: errNoAnswer.Error()})
	}
	return &lock.Held{ID: out.ID, Fence: out.Fence, Version: v, TTL: r.TTL}, nil
}

func (c *Client) renewLock(ctx context.Context, l *Lock) error {
	q := lockCall("renew", http.MethodPut, l.Name, lockBody{TTL: l.ttl.String(), ID: l.ID, Fence: l.Fence})
	q.whole = false
	q.locking = func(ctx context.Context, s *lock.Service) error {
		_, err := s.Renew(ctx, l.Name, l.ID, l.Fence, l.ttl)
		return err
	}
	return c.runLock(ctx, q, &struct{}{})
}

func (c *Client) releaseLock(ctx context.Context, l *Lock) (released bool, err error) {
	q := lockCall("unlock", http.MethodDelete, l.Name, lockBody{ID: l.ID, Fence: l.Fence})
	q.whole = false
	var out struct{ Released bool }
	q.locking = func(ctx context.Context, s *lock.Service) (err error) {
		out.Released, err = s.Release(ctx, l.Name, l.ID, l.Fence)
		return err
	}
	err = c.runLock(ctx, q, &out)
	return out.Released, err
}
