package fsm

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// finished is what is remembered of an attempt that is over here.
func (v *view) finished(id *ident.TxnID) (finished, bool) {
	if v.meta.Finished == 0 {
		return finished{}, false
	}
	row, ok := v.get(v.key.attempt(tableFinished, id))
	if !ok {
		return finished{}, false
	}
	return parse(row, readFinished), true
}

// resolve ends the group's part of an attempt.
func (t *tx) resolve(c *Resolve, res *Result) *api.Error {
	if err := t.member(c.Group); err != nil {
		return err
	}
	if err := checkID(&c.Txn); err != nil {
		return err
	}
	if f, ok := t.finished(&c.Txn); ok {
		if f.outcome != c.Outcome {
			return api.Errorf(api.CodeConflict, "the transaction was resolved as %v, and is now said to be %v", f.outcome, c.Outcome)
		}
		return nil
	}
	p, ok := t.prepared(&c.Txn)
	if ok {
		t.unlock(&p, c.Outcome == ident.TxnCommitted)
		t.del(t.key.attempt(tablePrepared, &c.Txn))
		t.meta.Prepared--
	}
	id := c.Txn
	res.Effect.Resolved = &id
	// A late Prepare is refused: by this note, or because its client has acknowledged the transaction. Where nothing had been
	// prepared, its intents would be orphans, which a push takes away: a note that there is no room for can be missing.
	if t.below(&c.Txn, 0) || !ok && t.meta.Prepared+t.meta.Finished >= t.limits.finished {
		return nil
	}
	t.set(t.key.attempt(tableFinished, &c.Txn), finished{c.Outcome, max(t.meta.DedupEpoch, p.epoch)}.row())
	t.meta.Finished++
	return nil
}

func (t *tx) delFinished(id *ident.TxnID) {
	t.del(t.key.attempt(tableFinished, id))
	t.meta.Finished--
}
