package leasecache

import (
	"context"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Do gives up this node's own leases on the keys that the transaction may write, names them in the transaction, and
// passes it on. The owner need not revoke them. Do caches nothing of the result.
func (c *Cache) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	if c.closed.Load() {
		return nil, errClosed("txn")
	}
	if err := t.Check(); err != nil {
		return nil, err
	}
	dropped, sessions := c.selfDrop(t)
	sent := words.Txn{Txn: *t, Dropped: dropped}
	c.locate(&sent)
	c.validateLeases(&sent)
	res, err := c.cfg.Store.Do(ctx, &sent)
	for i, d := range dropped {
		if err != nil || !wrote(t, res, d.Key) {
			sessions[i].release(d.Key, d.Lease) // no write is known to have ended the lease
		}
	}
	return res, err
}

// locate sets the owner of t's keys, as far as it is known here. The owner is looked up once, and travels with t.
func (c *Cache) locate(t *words.Txn) {
	var one [1]api.Key // mostly one key
	for _, k := range t.KeysInto(one[:]) {
		g, ok := c.cfg.Locate(k)
		switch {
		case !ok:
			t.Group = ""
			return
		case t.Group == "":
			t.Group = g
		case t.Group != g:
			t.Group, t.SeveralGroups = "", true
			return
		}
	}
}

// selfDrop removes the cached entries of the keys that t may write. After that nothing here serves them.
func (c *Cache) selfDrop(t *api.Txn) (dropped []ident.DroppedLease, sessions []*session) {
	var one [1]api.Key // mostly one key
	for _, k := range t.WrittenKeysInto(one[:]) {
		if en := c.entries.selfDrop(k, c.cfg.Clock); en != nil && !en.session.ended() {
			dropped, sessions = append(dropped, en.session.dropped(k, en.lease)), append(sessions, en.session)
		}
	}
	return dropped, sessions
}

// wrote reports whether the branch that ran writes k.
func wrote(t *api.Txn, res *api.TxnResult, k api.Key) bool {
	branch := t.Else
	if res.Committed {
		branch = t.Then
	}
	return slices.ContainsFunc(branch, func(o api.Op) bool { return o.Writes() && o.Key == k })
}
