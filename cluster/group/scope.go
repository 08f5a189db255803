package group

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// narrowFor is how long after a change of a node's scope, as this lead sees it, the leases of its sessions are checked.
// A grant that was admitted before the change has applied by then.
const narrowFor = time.Minute

// narrow revokes the leases of the session on keys that its node no longer serves. A holder that does not answer is
// renewed no more, as after any revocation, so what it may still serve ends with its term.
func (a *Authority) narrow(c *words.Caller, l *lead, k *words.KeepAlive, sid ident.SessionID) {
	if len(c.Scope) == 0 {
		return
	}
	now := time.Now()
	a.mu.Lock()
	h, _ := a.holderLocked(l, sid)
	if h == nil || h.foreign(k) {
		a.mu.Unlock()
		return
	}
	if !slices.Equal(h.scope, c.Scope) {
		h.scope, h.scopedSince = c.Scope, now
	}
	recent := now.Sub(h.scopedSince) < narrowFor
	a.mu.Unlock()
	if !recent {
		return
	}
	outside := a.cfg.Machine.LeasesOf(sid, c.Serves)
	if len(outside) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lead != l {
		return
	}
	for _, x := range outside {
		l.revoke(h, x.Key, x.Lease, now, nil)
	}
	a.signal()
}
