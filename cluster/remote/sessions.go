package remote

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

var (
	methodOpenSession  = peer.NewMethod[words.OpenSession, words.SessionGrant]("OpenSession", admission.Control, peer.Holders)
	methodCloseSession = peer.NewMethod[closeSession, peer.Nothing]("CloseSession", admission.Control, peer.Holders)
	methodRelease      = peer.NewMethod[release, peer.Nothing]("Release", admission.Control, peer.Holders)
)

type closeSession struct {
	Group   api.GroupID     `cbor:"1,keyasint"`
	Session ident.SessionID `cbor:"2,keyasint"`
	Nonce   ident.Nonce     `cbor:"3,keyasint"`
}

type release struct {
	Group  api.GroupID          `cbor:"1,keyasint"`
	Leases []ident.DroppedLease `cbor:"2,keyasint"`
}

// OpenSession opens a session. CodeAmbiguous: one may have been opened that will not be used.
func (n Node) OpenSession(ctx context.Context, o words.OpenSession) (words.SessionGrant, error) {
	grant, err := methodOpenSession.Call(ctx, n.Remote, &o)
	if err != nil {
		return words.SessionGrant{}, err
	}
	return *grant, nil
}

// CloseSession ends a session.
func (n Node) CloseSession(ctx context.Context, g api.GroupID, sid ident.SessionID, nonce ident.Nonce) error {
	_, err := methodCloseSession.Call(ctx, n.Remote, &closeSession{g, sid, nonce})
	return err
}

// Release gives leases up.
func (n Node) Release(ctx context.Context, g api.GroupID, leases []ident.DroppedLease) error {
	_, err := methodRelease.Call(ctx, n.Remote, &release{g, leases})
	return err
}

func registerSessions(s *peer.Server, groups Groups) {
	methodOpenSession.Handle(s, of(groups, func(o *words.OpenSession) api.GroupID { return o.Group },
		func(g Group, ctx context.Context, o *words.OpenSession) (*words.SessionGrant, error) {
			own := *o
			own.Node = peer.CallerFrom(ctx).Node
			grant, err := g.OpenSession(ctx, own)
			return &grant, err
		}))
	methodCloseSession.Handle(s, of(groups, func(c *closeSession) api.GroupID { return c.Group },
		func(g Group, ctx context.Context, c *closeSession) (*peer.Nothing, error) {
			return done(g.CloseSession(ctx, c.Group, c.Session, c.Nonce))
		}))
	methodRelease.Handle(s, of(groups, func(r *release) api.GroupID { return r.Group },
		func(g Group, ctx context.Context, r *release) (*peer.Nothing, error) {
			return done(g.Release(ctx, r.Group, r.Leases))
		}))
}
