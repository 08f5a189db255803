package router

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// OpenSession opens a session at the group's leader. An attempt of unknown outcome may leave a second session behind,
// which is never used and expires.
func (r *Router) OpenSession(ctx context.Context, o words.OpenSession) (words.SessionGrant, error) {
	var grant words.SessionGrant
	err := r.lease(ctx, o.Group, "open session", func(ctx context.Context, t Target) (err error) {
		grant, err = t.OpenSession(ctx, o)
		return err
	})
	return grant, err
}

// CloseSession ends a session at the group's leader.
func (r *Router) CloseSession(ctx context.Context, g api.GroupID, sid ident.SessionID, nonce ident.Nonce) error {
	return r.lease(ctx, g, "close session", func(ctx context.Context, t Target) error { return t.CloseSession(ctx, g, sid, nonce) })
}

// Release gives up leases at the group's leader.
func (r *Router) Release(ctx context.Context, g api.GroupID, leases []ident.DroppedLease) error {
	return r.lease(ctx, g, "release", func(ctx context.Context, t Target) error { return t.Release(ctx, g, leases) })
}

// lease carries out one of the calls above at the leader. All of them may be repeated without harm.
func (r *Router) lease(ctx context.Context, g api.GroupID, op string, call func(ctx context.Context, t Target) error) error {
	ctx, cancel := bound(ctx)
	defer cancel()
	c := r.call(op, true)
	c.timeout = r.cfg.ReadTimeout
	c.send = func(ctx context.Context, node api.NodeID) error { return call(ctx, r.cfg.Remote(node)) }
	return c.end(r.toGroup(ctx, c, g))
}
