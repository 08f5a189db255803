package txn

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// abort ends an attempt that has not committed, as far as this coordinator knows. Before another one begins, or the caller
// is told that nothing was written, the decision group has said so: a message that is still on its way then finds that.
func (a *attempt) abort(ctx context.Context, why ended) ended {
	mayHaveCommitted := a.last != nil && api.CodeOf(why.err) == api.CodeAmbiguous
	if ctx.Err() != nil { // nobody waits any more, and only this attempt could have committed it
		a.clean(nil)
		return a.givenUp(why, a.timeUp(ctx.Err()))
	}
	d, err := a.cfg.Groups.Decide(ctx, &fsm.Decide{Txn: a.ref, AckedBelow: a.id.AckedBelow, Outcome: ident.TxnAborted})
	if err != nil {
		a.clean(nil)
		return a.givenUp(why, notApplied(err))
	}
	if d.Outcome == ident.TxnCommitted { // the last group had committed, and its answer was lost
		return ended{res: a.ownResult(d)}
	}
	if mayHaveCommitted && d.Expired {
		return ended{err: expired()}
	}
	a.aborted(d)
	if mayHaveCommitted { // it had not
		return ended{again: causePushed}
	}
	return a.goOn(ctx, why)
}

// givenUp is the end of the transaction with an attempt that could not be ended in good order.
func (a *attempt) givenUp(why ended, err error) ended {
	switch {
	case why.earlier != nil:
		return ended{err: earlierUnknown(err)}
	case why.err != nil:
		return ended{err: why.err}
	}
	return ended{err: err}
}

func earlierUnknown(err error) error {
	return &api.Error{Code: api.CodeAmbiguous, Op: "txn", Err: err,
		Hint: "an earlier attempt may have been committed; repeat it with the same idempotency key"}
}

// aborted notes that the decision group has said so.
func (a *attempt) aborted(d *fsm.Decision) {
	a.clean(d)
	if a.claimed {
		a.after = a.ref.ID
	}
}

// goOn prepares the next attempt, if there is to be one.
func (a *attempt) goOn(ctx context.Context, why ended) ended {
	switch why.again {
	case causeEarlier:
		return a.finishEarlier(ctx, why.earlier)
	case causeCondition:
		a.doubted = true
	case causeStep:
		a.claimFirst = true
	case causeMoved:
		if err := a.cfg.Refresh(ctx); err != nil {
			return ended{err: notApplied(err)}
		}
	}
	return why
}

// finishEarlier learns what became of the attempt that stands against ours, made here or by another gateway, and has it
// aborted if that stays undecided.
func (a *attempt) finishEarlier(ctx context.Context, rec *fsm.Record) ended {
	if rec == nil {
		return ended{err: api.Errorf(api.CodeInternal, "a claim was refused without telling what stands against it")}
	}
	if rec.Decider == "" {
		return ended{res: rec.Replay(&a.txn.Txn)}
	}
	ref := ident.TxnRef{
		ID:  ident.TxnID{Client: rec.Client, Seq: rec.Seq, Attempt: rec.Attempt, Decider: rec.Decider},
		Age: a.age, Anchor: rec.Anchor, Epoch: rec.DeciderEpoch,
	}
	d, err := a.outcome(ctx, ref)
	switch {
	case err != nil: // what became of the earlier attempt is unknown, and with it the outcome of the request
		return ended{err: earlierUnknown(err)}
	case d.Outcome == ident.TxnCommitted:
		return ended{res: a.replay(d)}
	case d.Expired:
		return ended{err: requestExpired()}
	}
	a.after, a.number = ref.ID, max(a.number, ref.ID.Attempt)
	return ended{again: causeEarlier}
}

// earlierPatience is how long an attempt that another gateway may still be making is left alone: two that abort each other at
// once can do so for ever.
var earlierPatience = [...]time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond}

// outcome is what became of an earlier attempt, which is left some time to end, but not more than a quarter of the caller's.
func (a *attempt) outcome(ctx context.Context, ref ident.TxnRef) (*fsm.Decision, error) {
	for _, d := range earlierPatience {
		if end, ok := ctx.Deadline(); ok && time.Until(end) < 4*d {
			break
		}
		if d, err := a.cfg.Groups.Outcome(ctx, ref, false); err != nil || d.Outcome != ident.TxnUndecided {
			return d, err
		}
		timer := time.NewTimer(d/2 + time.Duration(a.cfg.Rand()*float64(d)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return a.cfg.Groups.Outcome(ctx, ref, true)
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
		if d.Outcome != ident.TxnAborted {
			return // the decision group tells its participants
		}
		done := make(chan struct{})
		for _, p := range a.parts {
			go func() { // ends with ctx, and is waited for below
				defer func() { done <- struct{}{} }()
				_ = a.resolvePart(ctx, p) // whoever meets what is left resolves it
			}()
		}
		for range a.parts {
			<-done
		}
	})
}

func (a *attempt) resolvePart(ctx context.Context, p *part) (err error) {
	defer a.cfg.Faults.Catch("resolve", &err)
	return a.cfg.Groups.Resolve(ctx, fsm.Resolve{Group: p.group, Txn: a.ref.ID, Outcome: ident.TxnAborted})
}
