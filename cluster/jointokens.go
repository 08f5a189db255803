package cluster

import (
	"context"
	"crypto/x509"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

var _ api.JoinTokens = (*Node)(nil)

// CreateJoinToken implements [api.JoinTokens].
func (n *Node) CreateJoinToken(ctx context.Context, spec api.JoinTokenSpec) (*api.NewJoinToken, error) {
	m, err := n.changes.Get(ctx)
	if err != nil {
		return nil, err
	}
	fingerprint, err := rootOf(m)
	if err != nil {
		return nil, err
	}
	k, err := n.tokenFrom(m, spec)
	if err != nil {
		return nil, err
	}
	t, err := join.NewToken(fingerprint)
	if err != nil {
		return nil, err
	}
	hash := t.SecretHash()
	k.ID, k.Hash, k.By = placement.TokenID(t.ID), hash[:], front.PrincipalFrom(ctx).Name
	now := time.Now()
	k.Made = now.Unix()
	if spec.TTL > 0 {
		k.Ends = now.Add(spec.TTL).Unix()
	}
	if _, err := n.changes.Change(ctx, placement.PutJoinToken{Token: k}); err != nil {
		return nil, err
	}
	n.log.Info("made a join token", "id", k.ID, "role", k.Role, "region", k.Region, "by", k.By)
	return &api.NewJoinToken{JoinToken: shownToken(k), Token: t.Reveal()}, nil
}

// rootOf is the fingerprint of the cluster's newest root. CodeConflict if the cluster is plain.
func rootOf(m *placement.Map) (join.Pin, error) {
	if len(m.Roots) == 0 || m.Security == placement.Plain {
		return join.Pin{}, placement.PlainCluster()
	}
	c, err := x509.ParseCertificate(m.Roots[0])
	if err != nil {
		return join.Pin{}, err
	}
	return join.Fingerprint(c), nil
}

// tokenFrom is the join token that a spec asks for, without what makes it this one.
func (n *Node) tokenFrom(m *placement.Map, spec api.JoinTokenSpec) (placement.JoinToken, error) {
	k := placement.JoinToken{
		Role: spec.Role, Region: spec.Region, Uses: spec.Uses, Names: spec.Names, For: spec.For, Ephemeral: spec.Ephemeral,
	}
	if k.Uses == 0 {
		k.Uses = 1
	}
	if known, ok := m.Node(spec.For); ok {
		if k.Role == "" {
			k.Role = known.Role
		}
	} else if spec.For != "" {
		return k, api.Errorf(api.CodeNotFound, "the cluster has no node %q", spec.For)
	}
	switch {
	case k.Role != api.RoleServer && k.Role != api.RoleEdge:
		return k, api.Errorf(api.CodeInvalid, "a join token is for the role server or edge, not %q", k.Role)
	case spec.TTL < 0:
		return k, api.Errorf(api.CodeInvalid, "a join token cannot have ended when it is made")
	case k.Uses < api.UnlimitedUses:
		return k, api.Errorf(api.CodeInvalid, "a join token has at least one use")
	}
	var err error
	if k.Scope, err = n.scope(spec.Policies); err != nil {
		return k, err
	}
	return k, nil
}

// scope is what edges serve by the policies: every key (nil), or the prefixes of their rules.
func (n *Node) scope(policies []string) ([]api.Key, error) {
	var prefixes []api.Key
	for _, name := range policies {
		if name == "all" || name == "read-all" {
			return nil, nil
		}
		p, ok := n.membership.view.Roll().Policy(name)
		if !ok {
			return nil, api.Errorf(api.CodeNotFound, "there is no policy %q", name)
		}
		for _, r := range p.Rules {
			if r.Prefix == "" {
				return nil, nil
			}
			prefixes = append(prefixes, r.Prefix)
		}
		if len(p.Rules) == 0 {
			return nil, api.Errorf(api.CodeInvalid, "policy %q gives no right on keys, so an edge could serve none", name)
		}
	}
	slices.Sort(prefixes)
	return slices.Compact(prefixes), nil
}

// JoinTokens implements [api.JoinTokens].
func (n *Node) JoinTokens(ctx context.Context) ([]api.JoinToken, error) {
	var list *joinTokenList
	err := n.router.OnLeader(ctx, ident.MetaGroup, "join tokens", false, func(ctx context.Context, leader api.NodeID) (err error) {
		list, err = methodJoinTokens.Ask(ctx, n.pool.Remote(leader), &peer.Nothing{})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]api.JoinToken, len(list.Tokens))
	for i, k := range list.Tokens {
		out[i] = shownToken(k)
	}
	return out, nil
}

// RevokeJoinToken implements [api.JoinTokens].
func (n *Node) RevokeJoinToken(ctx context.Context, id string) error {
	parsed, err := join.ParseTokenID(id)
	if err != nil {
		return err
	}
	all, err := n.JoinTokens(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(k api.JoinToken) bool { return k.ID == parsed.String() }) {
		return api.Errorf(api.CodeNotFound, "there is no join token %s", parsed)
	}
	_, err = n.changes.Change(ctx, placement.DropJoinToken{ID: placement.TokenID(parsed)})
	return err
}

// shownToken is a join token as operators see it.
func shownToken(k placement.JoinToken) api.JoinToken {
	t := api.JoinToken{ID: k.ID.String(), Role: k.Role, Region: k.Region, Uses: k.Uses, Names: k.Names, Ephemeral: k.Ephemeral, For: k.For, By: k.By}
	for _, p := range k.Scope {
		t.Prefixes = append(t.Prefixes, string(p))
	}
	if k.Ends != 0 {
		t.Expires = time.Unix(k.Ends, 0).UTC()
	}
	if k.Made != 0 {
		t.Created = time.Unix(k.Made, 0).UTC()
	}
	return t
}
