package txn

import (
	"bytes"
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// choose picks the branch to commit. If there is no Else and no condition is in doubt, the groups check themselves
// whether If holds. Otherwise the gateway reads, picks a branch, and commits it on condition that what it read is still
// current. An If that does not hold is an outcome like any other. A request with an id commits that outcome: an earlier
// attempt that caused it is then found, and a repetition of the request gets the same answer.
func (r *running) choose(ctx context.Context) (*branch, error) {
	t := r.txn
	if len(t.Else) == 0 && !r.doubted {
		return &branch{held: true, conds: t.If, ops: t.Then, leased: r.validated()}, nil
	}
	now, err := r.state(ctx, (&api.Txn{If: t.If}).Keys(), r.hold())
	if err != nil {
		return nil, err
	}
	if holds(t.If, now) {
		return &branch{held: true, conds: t.If, ops: t.Then, leased: r.validated()}, nil
	}
	b := &branch{ops: t.Else}
	for k, e := range now {
		b.conds = append(b.conds, api.Cond{Kind: api.CondVersion, Key: k, Version: e.Version})
	}
	if len(t.Else) == 0 {
		b.state = stateOf(t.If, now)
	}
	return b, nil
}

// hold returns how long the place in the wait queue lasts that the read for picking a branch has taken. It lasts until
// the vote if each group that was read is going to vote.
func (r *running) hold() words.Hold {
	switch {
	case len(r.txn.Else) == 0 && !r.named && r.atOnce(), r.validated() != nil:
		return words.HoldNone
	case r.attempts > 0: // single writes may have come between
		return words.HoldTxn | words.HoldFirm
	}
	return words.HoldTxn
}

// validated marks the conditions that leases of this node cover. It returns nil if leases are not used or cover none.
func (r *running) validated() []bool {
	if r.leasesOff || r.txn.LeasesHeld == nil || len(r.txn.Leased) == 0 {
		return nil
	}
	marks := make([]bool, len(r.txn.If))
	for _, i := range r.txn.Leased {
		marks[i] = true
	}
	return marks
}

// state returns the state of the keys, at one instant if there are at most [api.MaxReadKeys] of them. The read uses the transaction's own place in the wait queue. With
// [words.HoldTxn] the place lasts until the vote on the transaction.
func (r *running) state(ctx context.Context, keys []api.Key, hold words.Hold) (map[api.Key]*api.Entry, error) {
	if err := r.lostKeys(keys); err != nil {
		return nil, err
	}
	now := make(map[api.Key]*api.Entry, len(keys))
	for len(keys) > 0 {
		some := keys[:min(len(keys), api.MaxReadKeys)]
		res, err := words.Read(ctx, r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: some, Snapshot: true}, Age: r.age, Hold: hold})
		if err != nil {
			return nil, err
		}
		for i := range res.Entries {
			now[res.Entries[i].Key] = &res.Entries[i]
		}
		keys = keys[len(some):]
	}
	return now, nil
}

// holds reports whether all the conditions hold in the state.
func holds(conds []api.Cond, now map[api.Key]*api.Entry) bool {
	for i := range conds {
		c, e := &conds[i], now[conds[i].Key]
		ok := e.Exists && bytes.Equal(e.Value, c.Value)
		switch c.Kind {
		case api.CondVersion:
			ok = e.Version == c.Version
		case api.CondExists:
			ok = e.Exists
		case api.CondAbsent:
			ok = !e.Exists
		}
		if !ok {
			return false
		}
	}
	return true
}

// look answers a transaction whose branch only reads: it returns whether If held, and the values, at one instant. ok is
// false if the branch that would run writes.
func (r *running) look(ctx context.Context) (res *api.TxnResult, ok bool, err error) {
	t := r.txn
	now, err := r.state(ctx, t.Keys(), words.HoldNone)
	if err != nil {
		return nil, false, err
	}
	held, ops := true, t.Then
	if !holds(t.If, now) {
		held, ops = false, t.Else
	}
	res = &api.TxnResult{Committed: held}
	for i := range ops {
		if ops[i].Writes() {
			return nil, false, nil
		}
		res.Entries = append(res.Entries, *now[ops[i].Key])
	}
	if !held && len(t.Else) == 0 {
		res.Entries = stateOf(t.If, now)
	}
	if err := answerable(ops, res.Entries); err != nil {
		return nil, false, err
	}
	return res, true, nil
}

// stateOf returns the answer of a transaction whose If does not hold and that has no Else.
func stateOf(conds []api.Cond, now map[api.Key]*api.Entry) []api.Entry {
	entries := make([]api.Entry, len(conds))
	for i := range conds {
		entries[i] = *now[conds[i].Key]
		entries[i].Value = nil
	}
	return entries
}

// writes reports whether any of the operations writes.
func writes(ops []api.Op) bool {
	for i := range ops {
		if ops[i].Writes() {
			return true
		}
	}
	return false
}
