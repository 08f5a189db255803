package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/edgehold/edgehold/api"
)

var _ api.JoinTokens = (*Client)(nil)

const joinTokensPath = "/v1/cluster/tokens" //nolint:gosec // a path

// joinTokenBody is a JoinTokenSpec as it is sent.
type joinTokenBody struct {
	Role      api.Role     `json:"role,omitempty"`
	Region    api.RegionID `json:"region,omitempty"`
	TTL       string       `json:"ttl,omitempty"`
	Uses      int64        `json:"uses,omitempty"`
	Policies  []string     `json:"policies,omitempty"`
	Names     []string     `json:"names,omitempty"`
	Ephemeral bool         `json:"ephemeral,omitempty"`
	For       api.NodeID   `json:"for,omitempty"`
}

// CreateJoinToken makes a join token at the nearest server. The answer is the only place where its secret is shown. The error is
// [api.CodeConflict] if the cluster is plain, [api.CodeNotFound] for a policy or a node that does not exist, [api.CodeTooLarge] at the
// limit of tokens, and [api.CodeAmbiguous] if the outcome is unknown: then there may be a token whose secret no one has.
func (c *Client) CreateJoinToken(ctx context.Context, spec api.JoinTokenSpec) (*api.NewJoinToken, error) {
	q := &call{op: "token create", method: http.MethodPost, path: joinTokensPath, raw: joinTokensPath, limit: maxAdminAnswer, writes: true, header: jsonBody}
	body := joinTokenBody{
		Role: spec.Role, Region: spec.Region, Uses: spec.Uses, Policies: spec.Policies, Names: spec.Names, Ephemeral: spec.Ephemeral, For: spec.For,
	}
	if spec.TTL != 0 {
		body.TTL = spec.TTL.String()
	}
	var err error
	if q.body, err = json.Marshal(body); err != nil {
		return nil, asRefused(q, &api.Error{Code: api.CodeInvalid, Err: err})
	}
	out := new(api.NewJoinToken)
	q.direct = onTokens(func(ctx context.Context, t api.JoinTokens) (err error) {
		out, err = t.CreateJoinToken(ctx, spec)
		return err
	})
	return out, c.into(ctx, q, out)
}

// JoinTokens lists the join tokens, without their secrets.
func (c *Client) JoinTokens(ctx context.Context) ([]api.JoinToken, error) {
	q := &call{op: "token list", method: http.MethodGet, path: joinTokensPath, raw: joinTokensPath, limit: maxAdminAnswer}
	var out struct {
		Tokens []api.JoinToken `json:"tokens"`
	}
	q.direct = onTokens(func(ctx context.Context, t api.JoinTokens) (err error) {
		out.Tokens, err = t.JoinTokens(ctx)
		return err
	})
	return out.Tokens, c.into(ctx, q, &out)
}

// RevokeJoinToken makes a join token invalid. Nodes that have joined by it stay in the cluster. The error is [api.CodeNotFound] if
// there is no such token.
func (c *Client) RevokeJoinToken(ctx context.Context, id string) error {
	q := &call{op: "token revoke", method: http.MethodDelete, path: joinTokensPath + "/" + id, raw: joinTokensPath + "/" + url.PathEscape(id),
		limit: maxAdminAnswer, writes: true}
	q.direct = onTokens(func(ctx context.Context, t api.JoinTokens) error { return t.RevokeJoinToken(ctx, id) })
	_, err := c.run(ctx, q)
	return err
}

// into carries out a call whose answer is JSON, and reads that into v, unless a Store in this process has answered.
func (c *Client) into(ctx context.Context, q *call, v any) error {
	a, err := c.run(ctx, q)
	if err != nil || a == nil || a.body == nil {
		return err
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return asRefused(q, &api.Error{Code: api.CodeInternal, Hint: "the answer is not the JSON that it should be", Err: err})
	}
	return nil
}

// onTokens calls f with the join tokens of a Store in this process.
func onTokens(f func(context.Context, api.JoinTokens) error) func(context.Context, api.Store) error {
	return func(ctx context.Context, s api.Store) error {
		t, ok := s.(api.JoinTokens)
		if !ok {
			return api.Errorf(api.CodeInvalid, "this store has no join tokens")
		}
		return f(ctx, t)
	}
}
