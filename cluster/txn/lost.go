package txn

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// pauseLost is the wait that is asked of a caller whose transaction needs a group that does not answer.
const pauseLost = time.Second

// lost refuses a branch if one of its participants is known to be lost. It does so before any other participant is
// locked, so that a lost group does not keep their keys locked.
func (r *running) lost(parts []*part) error {
	for _, p := range parts {
		if err := r.lostOwner(p.group); err != nil {
			return err
		}
	}
	return nil
}

// lostKeys refuses a read of keys if the owner of one is known to be lost. It does so before the read takes a place in
// the wait queues of the other owners.
func (r *running) lostKeys(keys []api.Key) error {
	m := r.cfg.Map()
	if m == nil {
		return nil // the read returns the error
	}
	for _, k := range keys {
		g, _, ok := m.Locate(k)
		if !ok {
			continue
		}
		if err := r.lostOwner(g); err != nil {
			return err
		}
	}
	return nil
}

func (r *running) lostOwner(g api.GroupID) error {
	if !guardNearDecider || !r.cfg.Lost(g) {
		return nil
	}
	r.probe(g)
	return &api.Error{Code: api.CodeUnavailable, Op: "txn", RetryAfter: pauseLost,
		Hint: "the group " + string(g) + ", which owns some of the keys, does not answer; nothing was locked or written"}
}

// probe asks a lost group for the outcome of an attempt that never existed. It does so after the caller has been
// refused. The leader of the group answers that only while it has a quorum. Transactions of a lost group are refused
// before the group is asked. So without probe, a group that nothing else at this node asks would be taken for lost
// forever. At most one probe of a group is under way at a time.
func (r *running) probe(g api.GroupID) {
	c := r.Coordinator
	c.mu.Lock()
	probing := c.probing[g]
	c.probing[g] = true
	c.mu.Unlock()
	if probing {
		return
	}
	ended := func() {
		c.mu.Lock()
		delete(c.probing, g)
		c.mu.Unlock()
	}
	begun := c.later(func(ctx context.Context) {
		defer ended()
		_, _ = c.cfg.Groups.Outcome(ctx, ident.TxnRef{ID: ident.TxnID{Client: c.own.client, Decider: g}}, false)
	})
	if !begun {
		ended()
	}
}
