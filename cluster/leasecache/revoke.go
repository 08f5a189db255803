package leasecache

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// revoked gives up leases and then acknowledges that. It waits for nothing but the shards' mutexes: a leader that waits
// for this answer must not wait for anything that could wait for the leader.
//
// A session that is not the current one here has ended or is not known yet. Nothing of such a session is served or will
// be installed, and the acknowledgement states no more than that.
func (c *Cache) revoked(id api.GroupID, sid ident.SessionID, leases []words.RevokedLease, acks chan<- *words.RevokeAck) {
	if g := c.lookupGroup(id); g != nil {
		if s := g.live(); s != nil && s.id == sid {
			now := c.cfg.Clock.Now()
			for _, l := range leases {
				c.entries.revoke(s, l.Key, l.Lease, now)
			}
		}
	}
	c.meter.revocations.Add(uint64(len(leases)))
	select {
	case acks <- &words.RevokeAck{Group: id, Session: sid, Nonce: c.cfg.Nonce, Leases: leases}:
	default:
		c.meter.acksLost.Add(1) // the next status asks again
	}
}
