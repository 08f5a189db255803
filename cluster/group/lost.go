package group

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// lostEvery is how often a request that waits for a transaction checks whether its decision group is lost.
const lostEvery = 500 * time.Millisecond

// maxLocks bounds the keys that are listed in GroupStatus.Locked.
const maxLocks = 100

// retryLost is the Retry-After of a request whose key is held by a transaction of a lost decision group.
const retryLost = time.Second

// deciderLost reports whether the transaction's decision group is known not to answer. Until it answers, the
// transaction's intents stay here.
func (a *Authority) deciderLost(id ident.TxnID) bool {
	return id.Decider != a.cfg.Group && a.cfg.Lost(id.Decider)
}

func errDeciderLost(x fsm.Intent) *api.Error {
	return &api.Error{Code: fsm.DeciderLost, Key: x.Key, RetryAfter: retryLost, Hint: "a transaction holds the key, and the group " +
		string(x.Txn.ID.Decider) + ", which decides it, does not answer: the key is free again when that group is back; edgehold cluster status shows such keys"}
}

// lockedSince is a key that a transaction of a lost decision group holds, and since when this replica has seen it
// held.
type lockedSince struct {
	key   api.Key
	txn   ident.TxnID
	since time.Time
}

// addLocked appends the transaction's keys, up to the limit of maxLocks.
func addLocked(to []lockedSince, p *fsm.Prepared, since time.Time) []lockedSince {
	for _, keys := range [2][]api.Key{p.Written, p.Read} {
		for _, k := range keys[:min(len(keys), maxLocks-len(to))] {
			to = append(to, lockedSince{k, p.Txn.ID, since})
		}
	}
	return to
}

func (s *sweeper) noteLocked(locked []lockedSince) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locked = locked
}

// lockedKeys returns the locked keys for the status, or nil if this node does not lead.
func (a *Authority) lockedKeys(prepared int) []api.Lock {
	a.mu.Lock()
	lead, locked := a.lead, a.locked
	a.mu.Unlock()
	if lead == nil || prepared == 0 {
		return nil
	}
	var out []api.Lock
	for _, l := range locked {
		if a.deciderLost(l.txn) {
			out = append(out, api.Lock{Key: l.key, Decider: l.txn.Decider, Seconds: time.Since(l.since).Seconds()})
		}
	}
	return out
}
