package group

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// maxReleased bounds the leases in one Release.
const maxReleased = 10_000

// OpenSession opens a session in the log. On this node the session's first term counts from when the entry applied. An
// edge gets CodeInvalid for a term or a pause over the limits for edges, since writes may have to wait for that long.
func (a *Authority) OpenSession(ctx context.Context, o words.OpenSession) (words.SessionGrant, error) {
	if err := a.ours(o.Group); err != nil {
		return words.SessionGrant{}, err
	}
	if o.Node == "" || o.Nonce == (ident.Nonce{}) || o.Term <= 0 || o.Pause < 0 {
		return words.SessionGrant{}, api.Errorf(api.CodeInvalid, "a session needs a node, a nonce, a term and a pause allowance")
	}
	if a.cfg.Removed(o.Node) {
		return words.SessionGrant{}, api.Errorf(api.CodeDenied, "the map here does not have node %s: it was removed, or is not admitted yet", o.Node)
	}
	if c := words.CallerFrom(ctx); c.Role == api.RoleEdge {
		if t, p := a.cfg.EdgeLimits(); o.Term > t || o.Pause > p {
			return words.SessionGrant{}, api.Errorf(api.CodeInvalid,
				"an edge's lease term of %v and pause allowance of %v are over the limits of %v and %v (edge-lease-max, edge-pause-max)", o.Term, o.Pause, t, p)
		}
	}
	l, err := a.leader(ctx)
	if err != nil {
		return words.SessionGrant{}, err
	}
	res, err := a.propose(ctx, fsm.SessionOpen{Node: o.Node, Nonce: o.Nonce, T: o.Term, P: o.Pause})
	if err != nil {
		return words.SessionGrant{}, err
	}
	return words.SessionGrant{Session: res.Session, DedupEpoch: uint64(a.cfg.Machine.Meta().DedupEpoch), Now: a.now(l)}, nil
}

// CloseSession ends a session that its holder has stopped using. An unknown session has ended already, so it returns
// nil for it. It returns CodeDenied if the session is not the caller's.
func (a *Authority) CloseSession(ctx context.Context, g api.GroupID, sid ident.SessionID, nonce ident.Nonce) error {
	if err := a.ours(g); err != nil {
		return err
	}
	if _, err := a.leader(ctx); err != nil {
		return err
	}
	if alive, err := a.ownedBy(words.CallerFrom(ctx), sid); !alive || err != nil {
		return err
	}
	_, err := a.propose(ctx, fsm.SessionClose{Session: sid, Nonce: nonce})
	if api.CodeOf(err) == api.CodeSessionDead {
		return nil
	}
	return err
}

// Release gives up leases that the holder has dropped already. Writes that wait for those leases proceed. It returns
// CodeDenied if one of them belongs to a session of another node than the caller.
func (a *Authority) Release(ctx context.Context, g api.GroupID, leases []ident.DroppedLease) error {
	if err := a.ours(g); err != nil {
		return err
	}
	if len(leases) > maxReleased {
		return api.Errorf(api.CodeTooLarge, "release of %d leases is over the limit of %d leases", len(leases), maxReleased)
	}
	if _, err := a.leader(ctx); err != nil {
		return err
	}
	leases, err := a.ownLeases(ctx, leases)
	if len(leases) == 0 || err != nil {
		return err
	}
	if _, err := a.propose(ctx, fsm.Release{Leases: leases}); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lead == nil {
		return nil
	}
	for _, d := range leases {
		if h := a.lead.holders[d.Session]; h != nil {
			a.lead.acked(h, d.Key, d.Lease, false)
		}
	}
	return nil
}
