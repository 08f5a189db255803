package txn

import (
	"context"
	"errors"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

// abort ends an attempt that has not committed, as far as this coordinator knows. Before another one begins, or the caller
// is told that nothing was written, the decision group has said so: a message that is still on its way then finds that.
func (a *attempt) abort(ctx context.Context, why ended) ended {
	mayHaveCommitted := a.last != nil && api.CodeOf(why.err) == api.CodeAmbiguous
	if ctx.Err() != nil { // nobody waits any more, and only this attempt could have committed it
		a.clean(nil)
		if why.err == nil {
			why = ended{err: a.timeUp(ctx.Err())}
		}
		return why
	}
	d, err := a.cfg.Groups.Decide(ctx, &fsm.Decide{Txn: a.ref, AckedBelow: a.id.AckedBelow, Outcome: api.TxnAborted})
	if err != nil {
		a.clean(nil)
		switch {
		case mayHaveCommitted:
			return why
		case why.err != nil && !isEarlier(why.err):
			return ended{err: why.err}
		}
		return ended{err: notApplied(err)}
	}
	if d.Outcome == api.TxnCommitted { // the last group had committed, and its answer was lost
		return ended{res: a.replay(d)}
	}
	a.clean(d)
	a.after = a.ref.ID
	if stood, ok := errors.AsType[*earlier](why.err); ok {
		return a.finishEarlier(ctx, stood.record)
	}
	switch why.again {
	case causeCondition:
		a.doubted = true
	case causeMoved:
		if err := a.cfg.Refresh(ctx); err != nil {
			return ended{err: notApplied(err)}
		}
	}
	if mayHaveCommitted { // it had not
		return ended{again: causePushed}
	}
	return why
}

func isEarlier(err error) bool {
	_, ok := errors.AsType[*earlier](err)
	return ok
}

// finishEarlier learns what became of the attempt that stands against ours, made here or by another gateway, and has it
// aborted if that is undecided.
func (a *attempt) finishEarlier(ctx context.Context, rec *fsm.Record) ended {
	if rec == nil {
		return ended{err: api.Errorf(api.CodeInternal, "a claim was refused without telling what stands against it")}
	}
	if rec.Decider == "" {
		return ended{res: rec.Replay(a.txn)}
	}
	ref := api.TxnRef{
		ID:  api.TxnID{Client: rec.Client, Seq: rec.Seq, Attempt: rec.Attempt, Decider: rec.Decider},
		Age: a.age, Anchor: rec.Anchor, Epoch: rec.DeciderEpoch,
	}
	d, err := a.cfg.Groups.Outcome(ctx, ref, true)
	switch {
	case err != nil: // what became of the earlier attempt is unknown, and with it the outcome of the request
		return ended{err: &api.Error{Code: api.CodeAmbiguous, Op: "txn", Err: err,
			Hint: "an earlier attempt may have been committed; repeat it with the same idempotency key"}}
	case d.Outcome == api.TxnCommitted:
		return ended{res: a.replay(d)}
	case d.Expired:
		return ended{err: &api.Error{Code: api.CodeConflict, Op: "txn", Hint: "the request id has expired: what became of it is not remembered any more"}}
	}
	a.after, a.number = ref.ID, max(a.number, ref.ID.Attempt)
	return ended{again: causeEarlier}
}

// clean has the groups drop what they hold of the attempt, after the caller has gone on. Where the outcome is not known yet
// (d is nil), it is made one: an abort, unless a commit came first. What is left undone here is done by whoever meets it.
func (a *attempt) clean(d *fsm.Decision) {
	a.later(func(ctx context.Context) {
		if d == nil {
			var err error
			if d, err = a.cfg.Groups.Outcome(ctx, a.ref, true); err != nil {
				return
			}
		}
		if d.Outcome != api.TxnAborted {
			return // the decision group tells its participants
		}
		done := make(chan struct{})
		for _, p := range a.parts {
			go func() { // ends with ctx, and is waited for below
				defer func() { done <- struct{}{} }()
				_ = a.cfg.Groups.Resolve(ctx, fsm.Resolve{Group: p.group, Txn: a.ref.ID, Outcome: api.TxnAborted})
			}()
		}
		for range a.parts {
			<-done
		}
	})
}
