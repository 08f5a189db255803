package txn

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// abort ends an attempt that has not committed, as far as this coordinator knows. The decision group records the abort
// before another attempt begins and before the caller learns that nothing was written. A message of the attempt that is
// still on its way finds that record.
func (a *attempt) abort(ctx context.Context, why ended) ended {
	mayHaveCommitted := a.last != nil && api.CodeOf(why.err) == api.CodeAmbiguous
	if ctx.Err() != nil { // the caller has left, and only this attempt could have committed the transaction
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
	if mayHaveCommitted { // the attempt had not committed
		return ended{again: causePushed}
	}
	return a.goOn(ctx, why)
}

// givenUp returns the end of a transaction whose attempt could be neither committed nor aborted for certain.
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

// aborted notes that the decision group has aborted the attempt.
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

// finishEarlier finds the outcome of the earlier attempt that conflicts with this one. This gateway or another one may
// have made that attempt. If it stays undecided, finishEarlier has it aborted.
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
	case err != nil: // the outcome of the earlier attempt is unknown, and with it that of the request
		return ended{err: earlierUnknown(err)}
	case d.Outcome == ident.TxnCommitted:
		return ended{res: a.replay(d)}
	case d.Expired:
		return ended{err: requestExpired()}
	}
	a.after, a.number = ref.ID, max(a.number, ref.ID.Attempt)
	return ended{again: causeEarlier}
}

// earlierPatience holds the waits for an attempt that another gateway may still be making. Two attempts that abort each
// other at once can do so forever.
var earlierPatience = [...]time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond}

// outcome returns the outcome of an earlier attempt. It gives that attempt some time to end, but at most a quarter of
// the caller's time.
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

// clean has the groups drop what they hold of the attempt. It runs after the caller has gone on. If the outcome is not
// known yet (d is nil), clean asks for an abort, which has no effect if a commit came first. A request that meets what
// clean leaves behind resolves it.
func (a *attempt) clean(d *fsm.Decision) {
	a.later(func(ctx context.Context) {
		if d == nil {
			var err error
			if d, err = a.cfg.Groups.Outcome(ctx, a.ref, true); err != nil {
				return
			}
		}
		if d.Outcome != ident.TxnAborted {
			return // the decision group informs its participants
		}
		done := make(chan struct{})
		for _, p := range a.parts {
			go func() { // ends with ctx, and is waited for below
				defer func() { done <- struct{}{} }()
				_ = a.resolvePart(ctx, p) // a request that meets what is left resolves it
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
