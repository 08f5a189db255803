package local

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

// tokenName is the name of the token that Token makes.
const tokenName = "dev"

// Token makes a token by which clients may read and write every key of a secure planet, and ends the one that it has made before.
func (p *Planet) Token(ctx context.Context) (string, error) {
	const wait = 10 * time.Second
	n, err := p.server()
	if err != nil {
		return "", err
	}
	made, err := n.CreateAccessToken(ctx, api.AccessTokenSpec{Name: tokenName, Policies: []string{"all"}}, wait)
	if api.CodeOf(err) == api.CodeConflict {
		made, err = n.RotateAccessToken(ctx, tokenName, 0, wait)
	}
	if err != nil {
		return "", err
	}
	return made.Token, nil
}
