package edge

import (
	"context"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// Do gives up this node's own leases on the keys that the transaction may write, names them in it, and passes it on: the
// owner need not revoke them. Nothing is cached of its result.
func (e *Edge) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	if e.closed.Load() {
		return nil, errClosed("txn")
	}
	if err := t.Check(); err != nil {
		return nil, err
	}
	dropped, groups := e.selfDrop(t)
	sent := *t
	if len(dropped) != 0 {
		sent.Dropped = append(slices.Clone(t.Dropped), dropped...)
	}
	e.vouch(&sent)
	res, err := e.cfg.Store.Do(ctx, &sent)
	for i, d := range dropped {
		if err != nil || !wrote(t, res, d.Key) {
			groups[i].release(d) // the write did not clear it
		}
	}
	return res, err
}

// selfDrop removes what is cached of the keys that t may write; then nothing here serves them.
func (e *Edge) selfDrop(t *api.Txn) (dropped []api.DroppedLease, groups []*group) {
	var one [1]api.Key // mostly
	for _, k := range t.WrittenKeysInto(one[:]) {
		if d, g, held := e.cache.selfDrop(k, e.cfg.Clock); held {
			dropped, groups = append(dropped, d), append(groups, g)
		}
	}
	return dropped, groups
}

// wrote tells whether the branch that ran writes k.
func wrote(t *api.Txn, res *api.TxnResult, k api.Key) bool {
	branch := t.Else
	if res.Committed {
		branch = t.Then
	}
	return slices.ContainsFunc(branch, func(o api.Op) bool { return o.Writes() && o.Key == k })
}
