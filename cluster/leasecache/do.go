package leasecache

import (
	"context"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Do gives up this node's own leases on the keys that the transaction may write, names them in it, and passes it on: the
// owner need not revoke them. Nothing is cached of its result.
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
			sessions[i].release(d.Key, d.Lease) // the write did not clear it
		}
	}
	return res, err
}

// locate sets the owner of t's keys, as far as it is known here: it is looked up once, and travels with t.
func (c *Cache) locate(t *words.Txn) {
	var one [1]api.Key // mostly
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

// selfDrop removes what is cached of the keys that t may write; then nothing here serves them.
func (c *Cache) selfDrop(t *api.Txn) (dropped []ident.DroppedLease, sessions []*session) {
	var one [1]api.Key // mostly
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
