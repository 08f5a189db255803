package front

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Tokens reports whether the node answers about tokens and policies.
func (b *Backend) Tokens() bool { return b.tokens != nil }

// Self describes the principal of ctx. It needs no right.
func (b *Backend) Self(ctx context.Context) (*api.Self, error) {
	if b.access == nil {
		return &api.Self{Node: b.Node, Rules: []api.PolicyRule{{Read: true, List: true, Write: true}}, Observe: true, Operate: true, Admin: true}, nil
	}
	return b.access.Describe(PrincipalFrom(ctx))
}

// AccessTokens lists the tokens of clients. It needs [Administer].
func (c Caller) AccessTokens(ctx context.Context, at api.NodeID) ([]api.AccessToken, error) {
	if err := c.May("token list", Administer, string(at)); err != nil {
		return nil, err
	}
	return c.backend.tokens.AccessTokens(ctx, at)
}

// CreateAccessToken makes a token. It needs [Administer].
func (c Caller) CreateAccessToken(ctx context.Context, spec api.AccessTokenSpec, wait time.Duration) (*api.NewAccessToken, error) {
	if err := c.May("token create", Administer, spec.Name); err != nil {
		return nil, err
	}
	return c.backend.tokens.CreateAccessToken(WithPrincipal(ctx, c.principal), spec, wait)
}

// RotateAccessToken gives a token a new secret. It needs [Administer].
func (c Caller) RotateAccessToken(ctx context.Context, token string, keep, wait time.Duration) (*api.NewAccessToken, error) {
	if err := c.May("token rotate", Administer, token); err != nil {
		return nil, err
	}
	return c.backend.tokens.RotateAccessToken(WithPrincipal(ctx, c.principal), token, keep, wait)
}

// RevokeAccessToken ends a token. It needs [Administer].
func (c Caller) RevokeAccessToken(ctx context.Context, token string, wait time.Duration) (*api.Told, error) {
	if err := c.May("token revoke", Administer, token); err != nil {
		return nil, err
	}
	return c.backend.tokens.RevokeAccessToken(WithPrincipal(ctx, c.principal), token, wait)
}

// Policies lists the policies. It needs [Administer].
func (c Caller) Policies(ctx context.Context) ([]api.Policy, error) {
	if err := c.May("policy list", Administer, ""); err != nil {
		return nil, err
	}
	return c.backend.tokens.Policies(ctx)
}

// SetPolicy adds or replaces a policy. It needs [Administer].
func (c Caller) SetPolicy(ctx context.Context, p api.Policy, wait time.Duration) (*api.Told, error) {
	if err := c.May("policy set", Administer, p.Name); err != nil {
		return nil, err
	}
	return c.backend.tokens.SetPolicy(WithPrincipal(ctx, c.principal), p, wait)
}

// DeletePolicy removes a policy. It needs [Administer].
func (c Caller) DeletePolicy(ctx context.Context, name string, force bool, wait time.Duration) (*api.Told, error) {
	if err := c.May("policy delete", Administer, name); err != nil {
		return nil, err
	}
	return c.backend.tokens.DeletePolicy(WithPrincipal(ctx, c.principal), name, force, wait)
}
