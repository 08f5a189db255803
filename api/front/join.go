package front

import (
	"context"

	"github.com/edgehold/edgehold/api"
)

// Joins reports whether the node admits nodes that show a join token.
func (b *Backend) Joins() bool { return b.joiner != nil }

// JoinTokens reports whether the node answers about join tokens.
func (b *Backend) JoinTokens() bool { return b.joinTokens != nil }

// Join implements api.Joiner. It needs no right: the join token is one.
func (c Caller) Join(ctx context.Context, q *api.JoinRequest) (*api.JoinAnswer, error) {
	return c.backend.joiner.Join(ctx, q)
}

// CreateJoinToken makes a join token. It needs [Administer].
func (c Caller) CreateJoinToken(ctx context.Context, spec api.JoinTokenSpec) (*api.NewJoinToken, error) {
	if err := c.May("join token create", Administer, string(spec.For)); err != nil {
		return nil, err
	}
	return c.backend.joinTokens.CreateJoinToken(WithPrincipal(ctx, c.principal), spec)
}

// ListJoinTokens lists the join tokens, without their secrets. It needs [Administer].
func (c Caller) ListJoinTokens(ctx context.Context) ([]api.JoinToken, error) {
	if err := c.May("join token list", Administer, ""); err != nil {
		return nil, err
	}
	return c.backend.joinTokens.JoinTokens(ctx)
}

// RevokeJoinToken makes a join token invalid. It needs [Administer].
func (c Caller) RevokeJoinToken(ctx context.Context, id string) error {
	if err := c.May("join token revoke", Administer, id); err != nil {
		return err
	}
	return c.backend.joinTokens.RevokeJoinToken(ctx, id)
}
