package txn

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// pauseLost is how long a caller is asked to wait that needs a group which does not answer.
const pauseLost = time.Second

// lost refuses a branch if a participant is known to be lost, before any of the others is locked: their keys are not to be
// held up by it.
func (r *running) lost(parts []*part) error {
	for _, p := range parts {
		if err := r.lostOwner(p.group); err != nil {
			return err
		}
	}
	return nil
}

// lostKeys refuses a read of keys if the owner of one is known to be lost, before a turn is taken at the others.
func (r *running) lostKeys(keys []api.Key) error {
	m := r.cfg.Map()
	if m == nil {
		return nil // the read says so
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

// probe asks a lost group, after the caller has its refusal, for the outcome of an attempt that never was, which its leader
// answers only while it has a quorum. Without it a group that nothing else at this node asks would be held for lost for ever,
// since its transactions are refused before it is asked. One probe of a group is under way at a time.
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
