package group

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Nodes are believed about their own sessions alone. A lease that is cleared while its holder still uses it makes that
// holder serve stale reads. So whatever gives leases up, ends a session or renews one comes from the session's node,
// as the connection shows it.

// process is one process of a node. Two nodes may claim the same nonce.
type process struct {
	node  api.NodeID
	nonce ident.Nonce
}

// ownedBy reports whether the session is alive, and returns CodeDenied if it belongs to another node than the caller.
// The caller of ownedBy must hold a lead: then a session that is not alive has ended or will be opened later.
func (a *Authority) ownedBy(c *words.Caller, sid ident.SessionID) (alive bool, err error) {
	s, alive := a.cfg.Machine.Session(sid)
	if alive && s.Node != c.Node && guardSessionOwner {
		return true, notOwner(c)
	}
	return alive, nil
}

func notOwner(c *words.Caller) error {
	return api.Errorf(api.CodeDenied, "the session is another node's, and node %q speaks for its own sessions alone", c.Node)
}

// ownLeases returns the leases whose sessions are alive. It returns CodeDenied if one of the sessions belongs to another
// node than the caller. Leases of sessions that are not alive are left out: such a session may still be opened.
func (a *Authority) ownLeases(ctx context.Context, leases []ident.DroppedLease) ([]ident.DroppedLease, error) {
	c := words.CallerFrom(ctx)
	own := make([]ident.DroppedLease, 0, len(leases))
	for _, d := range leases {
		alive, err := a.ownedBy(c, d.Session)
		if err != nil {
			return nil, err
		}
		if alive {
			own = append(own, d)
		}
	}
	return own, nil
}
