package leasecache

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe/trace"
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

// revocationSpans begins a span in each trace that a revocation names, as far as it can be read. The caller ends them when the leases are
// given up and the acknowledgement is on its way.
func (c *Cache) revocationSpans(r *words.Revocation) (spans []trace.Span) {
	if c.cfg.Tracer == nil {
		return nil
	}
	for _, b := range r.Traces[:min(len(r.Traces), words.MaxTraces)] {
		_, s := c.cfg.Tracer.Continue(context.Background(), "give up leases", trace.Consumer, trace.ParseRemote(b))
		s.Set(trace.Group, string(r.Group))
		s.SetInt(trace.Holders, len(r.Leases))
		spans = append(spans, s)
	}
	return spans
}
