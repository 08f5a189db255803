package group

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Do carries out a transaction. It prevents new leases on the keys that the transaction may write, revokes the live
// ones or waits until they have certainly expired, and proposes the transaction. If a lease was given meanwhile, the
// machine refuses the proposal and the round begins again. Do returns CodeUnavailable if ctx ends before the
// proposal; the transaction was then certainly not applied. A refusal that is not the result of a log entry is
// returned only after a confirm.
func (a *Authority) Do(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	if err := a.ours(t.Group); err != nil {
		return nil, err
	}
	l, err := a.leader(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.cfg.Machine.Takes(&t.Txn); err != nil {
		return nil, err
	}
	var one [1]api.Key // usually enough
	written := t.WrittenKeysInto(one[:])
	a.latch(l, written)
	defer a.unlatch(l, written)
	w := writing{waiter: waiter{Authority: a, lead: l}, dropped: t.Dropped}
	defer w.end()
	if err := w.endOverdueOf(ctx, t); err != nil {
		return nil, err
	}
	preview := a.cfg.Machine.Preview(&t.Txn, t.Epoch)
	for preview.Err != nil && preview.Err.Code == fsm.RetryIntents {
		if err := w.awaitTxns(ctx, t, preview.Intents); err != nil {
			return nil, err
		}
		if ctx, err = again(ctx); err != nil {
			return nil, err
		}
		if err := w.endOverdueOf(ctx, t); err != nil {
			return nil, err
		}
		preview = a.cfg.Machine.Preview(&t.Txn, t.Epoch)
	}
	switch {
	case preview.Replay != nil: // stored in the log, so true for all time, whichever node leads now
		return a.replayed(preview.Replay), nil
	case preview.Err != nil:
		return nil, a.refusal(ctx, l, preview.Err)
	}
	if err := w.awaitReads(ctx, t); err != nil {
		return nil, err
	}
	res, err := w.run(ctx, t, preview.Holders)
	if err != nil {
		return nil, err
	}
	if !res.Replayed && res.Committed {
		a.wrote(l, t.Then)
	} else if !res.Replayed {
		a.wrote(l, t.Else)
	}
	a.metrics.wrote(res.Timing)
	return res, nil
}

// writing is the execution of one transaction until it is in the log.
type writing struct {
	waiter
	dropped []ident.DroppedLease // leases given up by the gateway
	gained  clearance
	timing  api.Timing
}

// setPosition creates the write's position, with the transaction's age.
func (w *writing) setPosition(t *words.Txn) {
	if w.position == nil {
		w.position = positionOf(ident.TxnRef{Age: t.Age}, t.WrittenKeys(), t.Keys())
		w.position.list = listedBy(&t.Txn)
	}
}

// listedBy returns the range of all that steps of the transaction list, or nil if none lists. Of several steps it is one range with
// what lies between: a position keeps more off than it must then, while it waits.
func listedBy(t *api.Txn) (all *api.Range) {
	for _, branch := range [2][]api.Op{t.Then, t.Else} {
		for i := range branch {
			if branch[i].Kind != api.OpList {
				continue
			}
			r := api.PrefixRange(branch[i].Key)
			if all == nil {
				all = &r
				continue
			}
			if all.Start = min(all.Start, r.Start); all.End == "" || r.End == "" {
				all.End = ""
			} else {
				all.End = max(all.End, r.End)
			}
		}
	}
	return all
}

// awaitTxns waits for the transactions that hold keys of t, with t in the queue.
func (w *writing) awaitTxns(ctx context.Context, t *words.Txn, intents []fsm.Intent) error {
	w.setPosition(t)
	return w.await(ctx, intents)
}

// awaitReads waits until no older read keeps the write off its keys. It does not allocate if there is no such read.
func (w *writing) awaitReads(ctx context.Context, t *words.Txn) error {
	w.mu.Lock()
	none := w.lead.queue.firm == 0
	w.mu.Unlock()
	if none {
		return nil
	}
	w.setPosition(t)
	return w.awaitPositions(ctx, w.lead, func(q *queue) *position {
		o, _ := q.olderRead(w.position)
		return o
	})
}

// run clears the holders and proposes, until the machine accepts. It may wait for transactions that hold the keys,
// because it holds nothing that one of them could wait for.
func (w *writing) run(ctx context.Context, t *words.Txn, holders []fsm.Holder) (*api.TxnResult, error) {
	for waited := false; ; waited = true {
		if err := w.clearAll(ctx, holders); err != nil {
			return nil, err
		}
		if waited = waited || len(holders) > 0; waited {
			if err := w.endOverdueOf(ctx, t); err != nil {
				return nil, err
			}
		}
		res, err := w.propose(ctx, fsm.Write{
			Term: w.lead.term, Txn: t.Txn, Epoch: t.Epoch, Cleared: w.gained.cleared, Killed: w.gained.killed, Now: w.stamp(w.lead, t.Then, t.Else),
		})
		switch {
		case err != nil:
			return nil, err
		case res.Err != nil && res.Err.Code == fsm.RetryLeases:
			holders = res.Holders
		case res.Err != nil && res.Err.Code == fsm.RetryIntents:
			if err := w.awaitTxns(ctx, t, res.Intents); err != nil {
				return nil, err
			}
			holders = nil
		case res.Err != nil:
			return nil, res.Err
		default:
			out := *w.withTTL(&res)
			out.Timing, out.Group = w.timing, w.cfg.Group
			return &out, nil
		}
		if ctx, err = again(ctx); err != nil {
			return nil, err
		}
	}
}

// propose proposes c, unless the caller's time is up. In that case it is still certain that nothing was written.
func (w *writing) propose(ctx context.Context, c fsm.Command) (fsm.Result, error) {
	if err := ctx.Err(); err != nil {
		return fsm.Result{}, &api.Error{Code: api.CodeUnavailable, Hint: "the caller's time was up", Err: err}
	}
	began := time.Now()
	res, err := w.log().Propose(ctx, w.encode(c))
	w.timing.Commit += time.Since(began)
	w.timing.Delayed = w.gained.delays
	return res, err
}

// clearAll waits for the holders and adds what that gained to what earlier rounds gained. If the total is too large
// to be part of the write, it goes into the log before the write.
func (w *writing) clearAll(ctx context.Context, holders []fsm.Holder) error {
	if len(holders) == 0 {
		return nil
	}
	began := time.Now()
	c, err := w.clear(ctx, w.lead, holders, w.dropped)
	w.timing.Revoke += time.Since(began)
	for _, d := range c.delays {
		w.metrics.delayed(d.Node, d.Wait)
	}
	w.gained.add(c)
	if err == nil && (len(w.gained.cleared) > maxReleased || len(w.gained.killed) > maxKilled) {
		err = w.drop(ctx, w.lead, w.gained)
		w.gained.cleared, w.gained.killed = nil, nil
	}
	return err
}

// replayed returns the stored result of an earlier attempt.
func (a *Authority) replayed(stored *api.TxnResult) *api.TxnResult {
	out := *stored
	out.Replayed, out.Group = true, a.cfg.Group
	return &out
}

func (a *Authority) latch(l *lead, keys []api.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l.latch(keys)
}

func (a *Authority) unlatch(l *lead, keys []api.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l.unlatch(keys)
}

// wrote starts the cool-down of the written keys.
func (a *Authority) wrote(l *lead, ops []api.Op) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range ops {
		if o.Writes() {
			l.cooling.wrote(o.Key, now)
		}
	}
}
