package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/edgehold/edgehold/api"
)

var _ api.Access = (*Client)(nil)

const (
	tokensPath   = "/v1/access/tokens"
	policiesPath = "/v1/access/policies"
)

// AccessTokens lists the tokens of clients, without their secrets. If at is not "", only those that were shown to that node since it
// started.
func (c *Client) AccessTokens(ctx context.Context, at api.NodeID) (list []api.AccessToken, err error) {
	q := accessCall("access token list", http.MethodGet, tokensPath)
	if at != "" {
		q.query = url.Values{"seen_at": {string(at)}}
	}
	var out struct {
		Tokens []api.AccessToken `json:"tokens"`
	}
	q.direct = onAccess(func(ctx context.Context, a api.Access) (err error) {
		out.Tokens, err = a.AccessTokens(ctx, at)
		return err
	})
	err = c.into(ctx, q, &out)
	return out.Tokens, err
}

// accessTokenBody is an AccessTokenSpec as it is sent.
type accessTokenBody struct {
	Name     string   `json:"name"`
	Policies []string `json:"policies,omitempty"`
	At       []string `json:"at,omitempty"`
	TTL      string   `json:"ttl,omitempty"`
	Ops      uint64   `json:"ops,omitempty"`
	Bytes    uint64   `json:"bytes,omitempty"`
}

// CreateAccessToken makes a token, and waits for at most wait until every node knows it. The answer is the only place where its secret
// is shown; it names the nodes that do not know it yet. The error is [api.CodeConflict] if the name is taken or the cluster can have
// no tokens, [api.CodeNotFound] for a policy that does not exist, [api.CodeTooLarge] at a limit, and [api.CodeAmbiguous] if the outcome
// is unknown: then revoke the token by its name.
func (c *Client) CreateAccessToken(ctx context.Context, spec api.AccessTokenSpec, wait time.Duration) (*api.NewAccessToken, error) {
	q := accessCall("access token create", http.MethodPost, tokensPath)
	body := accessTokenBody{Name: spec.Name, Policies: spec.Policies, At: spec.At, Ops: spec.Ops, Bytes: spec.Bytes}
	if spec.TTL != 0 {
		body.TTL = spec.TTL.String()
	}
	out := new(api.NewAccessToken)
	q.direct = onAccess(func(ctx context.Context, a api.Access) (err error) {
		out, err = a.CreateAccessToken(ctx, spec, wait)
		return err
	})
	err := c.change(ctx, q, body, wait, out)
	return out, err
}

// RotateAccessToken gives a token, named by its name or id, a new secret. The old one is accepted for keep longer. The error is
// [api.CodeNotFound] if there is no such token.
func (c *Client) RotateAccessToken(ctx context.Context, token string, keep, wait time.Duration) (*api.NewAccessToken, error) {
	q := accessCall("access token rotate", http.MethodPost, tokensPath, token)
	out := new(api.NewAccessToken)
	q.direct = onAccess(func(ctx context.Context, a api.Access) (err error) {
		out, err = a.RotateAccessToken(ctx, token, keep, wait)
		return err
	})
	err := c.change(ctx, q, map[string]string{"keep": keep.String()}, wait, out)
	return out, err
}

// RevokeAccessToken ends a token, named by its name or id, for good. The answer names the nodes that still accept it. The error is
// [api.CodeNotFound] if there is no such token.
func (c *Client) RevokeAccessToken(ctx context.Context, token string, wait time.Duration) (*api.Told, error) {
	q := accessCall("access token revoke", http.MethodDelete, tokensPath, token)
	return c.told(ctx, q, nil, wait, func(ctx context.Context, a api.Access) (*api.Told, error) {
		return a.RevokeAccessToken(ctx, token, wait)
	})
}

// Policies lists the policies, with those that every cluster has.
func (c *Client) Policies(ctx context.Context) ([]api.Policy, error) {
	q := accessCall("access policy list", http.MethodGet, policiesPath)
	var out struct {
		Policies []api.Policy `json:"policies"`
	}
	q.direct = onAccess(func(ctx context.Context, a api.Access) (err error) {
		out.Policies, err = a.Policies(ctx)
		return err
	})
	err := c.into(ctx, q, &out)
	return out.Policies, err
}

// SetPolicy adds a policy or replaces the one of its name. The answer names the nodes that do not judge by it yet. The error is
// [api.CodeInvalid] for a policy that is built in or makes no sense, and [api.CodeTooLarge] at a limit.
func (c *Client) SetPolicy(ctx context.Context, p api.Policy, wait time.Duration) (*api.Told, error) {
	q := accessCall("access policy set", http.MethodPut, policiesPath, p.Name)
	sent := p
	sent.Name, sent.By, sent.BuiltIn = "", "", false
	return c.told(ctx, q, sent, wait, func(ctx context.Context, a api.Access) (*api.Told, error) { return a.SetPolicy(ctx, p, wait) })
}

// DeletePolicy removes a policy. The error is [api.CodeConflict] if a token has it, unless force is set, which takes it from the
// tokens too, and [api.CodeNotFound] if there is none.
func (c *Client) DeletePolicy(ctx context.Context, name string, force bool, wait time.Duration) (*api.Told, error) {
	q := accessCall("access policy delete", http.MethodDelete, policiesPath, name)
	if force {
		q.query = url.Values{"force": {"true"}}
	}
	return c.told(ctx, q, nil, wait, func(ctx context.Context, a api.Access) (*api.Told, error) {
		return a.DeletePolicy(ctx, name, force, wait)
	})
}

// Self returns the identity of this client at the nearest node, and what it may do.
func (c *Client) Self(ctx context.Context) (*api.Self, error) {
	out := new(api.Self)
	q := accessCall("access whoami", http.MethodGet, "/v1/access/self")
	q.direct = func(context.Context, api.Store) error {
		return api.Errorf(api.CodeInvalid, "this store has no principals")
	}
	err := c.into(ctx, q, out)
	return out, err
}

// accessCall returns a call for a path, with one further segment if there is one.
func accessCall(op, method, path string, more ...string) *call {
	q := &call{op: op, method: method, path: path, raw: path, limit: maxAdminAnswer, writes: method != http.MethodGet}
	for _, segment := range more {
		q.path += "/" + segment
		q.raw += "/" + url.PathEscape(segment)
	}
	return q
}

// change carries out a change that waits for the nodes, and reads its answer into out.
func (c *Client) change(ctx context.Context, q *call, body any, wait time.Duration, out any) error {
	if body != nil {
		var err error
		if q.body, err = json.Marshal(body); err != nil {
			return asRefused(q, &api.Error{Code: api.CodeInvalid, Err: err})
		}
		q.header = jsonBody
	}
	if q.query == nil {
		q.query = url.Values{}
	}
	q.query.Set("wait", wait.String())
	return c.into(ctx, q, out)
}

func (c *Client) told(ctx context.Context, q *call, body any, wait time.Duration, direct func(context.Context, api.Access) (*api.Told, error)) (*api.Told, error) {
	out := new(api.Told)
	q.direct = onAccess(func(ctx context.Context, a api.Access) (err error) {
		out, err = direct(ctx, a)
		return err
	})
	err := c.change(ctx, q, body, wait, out)
	return out, err
}

// onAccess calls f with the tokens and policies of a Store in this process.
func onAccess(f func(context.Context, api.Access) error) func(context.Context, api.Store) error {
	return func(ctx context.Context, s api.Store) error {
		a, ok := s.(api.Access)
		if !ok {
			return api.Errorf(api.CodeInvalid, "this store has no tokens and policies")
		}
		return f(ctx, a)
	}
}
