package group

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// blocker is a transaction whose intents somebody here waits for. The authority's mutex guards it, except for gone.
type blocker struct {
	gone    chan struct{} // closed when it is resolved here
	waiters int
}

// Groups reaches other groups, each at its leader, and this one too: what became of a transaction is known to its decision
// group alone.
type Groups interface {
	// Outcome is what the decision group has decided on the attempt, or, with abort, decides now; undecided where it has not.
	Outcome(ctx context.Context, ref ident.TxnRef, abort bool) (*fsm.Decision, error)
	// Resolve passes a decision on to a participant, and returns when that has resolved.
	Resolve(ctx context.Context, c fsm.Resolve) error
}

// blocking are the intents on the keys that keep the attempt off them: any on those it writes, exclusive ones on those it
// reads. own tells that the attempt has intents here itself: it has prepared.
func (a *Authority) blocking(self ident.TxnID, written, read []api.Key) (in []fsm.Intent, own bool) {
	if a.cfg.Machine.Meta().Intents == 0 {
		return nil, false
	}
	for _, x := range a.cfg.Machine.Intents(written) {
		if x.Txn.ID != self {
			in = append(in, x)
		}
	}
	for _, x := range a.cfg.Machine.Intents(read) {
		switch {
		case x.Txn.ID == self:
			own = true
		case x.Exclusive:
			in = append(in, x)
		}
	}
	return in, own
}

// crowded is an intent of each key that as many transactions read as may: when it is gone, there is room for another.
func (a *Authority) crowded(read []api.Key) (in []fsm.Intent) {
	for _, k := range read {
		if x := a.cfg.Machine.Intents([]api.Key{k}); len(x) >= fsm.MaxReaders {
			in = append(in, x[0])
		}
	}
	return in
}

// awaitIntents waits until none of the intents' transactions has anything here any more. What does not end by itself is asked
// for at its decision group, and then pushed. CodeUnavailable where ctx ends first.
//
// What a lost group decides is not waited for: [fsm.DeciderLost].
func (a *Authority) awaitIntents(ctx context.Context, l *lead, intents []fsm.Intent) error {
	for _, x := range intents {
		if a.deciderLost(x.Txn.ID) {
			return errDeciderLost(x)
		}
	}
	for _, x := range intents {
		if err := a.awaitIntent(ctx, l, x); err != nil {
			return err
		}
	}
	return nil
}

func (a *Authority) awaitIntent(ctx context.Context, l *lead, x fsm.Intent) error {
	b, err := a.block(l, x.Txn)
	if err != nil {
		return err
	}
	defer a.unblock(l, x.Txn.ID, b)
	if !a.stands(x) { // it went before there was anybody to tell
		return nil
	}
	began := time.Now()
	defer func() { a.metrics.intentWait(time.Since(began)) }()
	lost := time.NewTicker(lostEvery)
	defer lost.Stop()
	for {
		select {
		case <-b.gone:
			return nil
		case <-lost.C:
			if a.deciderLost(x.Txn.ID) {
				return errDeciderLost(x)
			}
		case <-l.ended:
			return notLeader("")
		case <-a.ctx.Done():
			return unavailable("the node is shutting down")
		case <-ctx.Done():
			return &api.Error{Code: api.CodeUnavailable, Key: x.Key, RetryAfter: retryIntent, Err: ctx.Err(),
				Hint: "the time was up while a transaction held the key"}
		}
	}
}

// stands tells whether the intent is still there.
func (a *Authority) stands(x fsm.Intent) bool {
	for _, now := range a.cfg.Machine.Intents([]api.Key{x.Key}) {
		if now.Txn.ID == x.Txn.ID {
			return true
		}
	}
	return false
}

// block registers somebody who waits for the transaction. The first one has it pursued.
func (a *Authority) block(l *lead, ref ident.TxnRef) (*blocker, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l.blocked >= a.cfg.MaxWaiting {
		return nil, unavailable("too many requests wait for transactions")
	}
	l.blocked++
	b := l.blockers[ref.ID]
	if b == nil {
		b = &blocker{gone: make(chan struct{})}
		l.blockers[ref.ID] = b
		if !a.closed {
			a.wg.Go(func() { a.pursue(l, ref, b) })
		}
	}
	b.waiters++
	return b, nil
}

func (a *Authority) unblock(l *lead, id ident.TxnID, b *blocker) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l.blocked--
	if b.waiters--; b.waiters == 0 && l.blockers[id] == b {
		delete(l.blockers, id)
		close(b.gone) // its pursuit is over: nobody waits
	}
}

// resolvedLocked lets those go on who wait for the transaction.
func (l *lead) resolvedLocked(id ident.TxnID) {
	if b := l.blockers[id]; b != nil {
		delete(l.blockers, id)
		close(b.gone)
	}
}

const (
	// retryIntent is what one who gave way to a transaction, or ran out of time waiting for it, is told to wait.
	retryIntent = 20 * time.Millisecond
	// queryFirst is how long a transaction is waited for before its decision group is asked; each further time twice as
	// long, up to queryMost.
	queryFirst = 100 * time.Millisecond
	queryMost  = time.Second
)

// pursue finds out what became of a transaction that somebody waits for, until it is gone from here: from AbortAfter on by
// having it aborted, unless it was decided before.
func (a *Authority) pursue(l *lead, ref ident.TxnRef, b *blocker) {
	began, pause := time.Now(), queryFirst
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-b.gone:
			return
		case <-l.ended:
			return
		case <-a.ctx.Done():
			return
		case <-timer.C:
		}
		a.settle(ref, time.Since(began) >= a.cfg.AbortAfter)
		pause = min(2*pause, queryMost)
		if left := a.cfg.AbortAfter - time.Since(began); left > 0 {
			timer.Reset(min(pause, left)) // not a pause later
		} else {
			timer.Reset(pause)
		}
	}
}

// settle resolves the transaction here as its decision group says, if that says anything; with abort it does.
func (a *Authority) settle(ref ident.TxnRef, abort bool) {
	ctx, cancel := context.WithTimeout(a.ctx, judgeTime)
	defer cancel()
	d := &fsm.Decision{Txn: ref.ID, Outcome: ident.TxnAborted, Expired: true}
	if guardAskDecider { // the mutant: a participant decides by itself
		var err error
		if d, err = a.cfg.Groups.Outcome(ctx, ref, abort); err != nil {
			a.cfg.Logger.Debug("the decision group does not answer", "group", a.cfg.Group, "txn", ref.ID, "error", err)
			return
		}
	}
	outcome := d.At(a.cfg.Group)
	if outcome == ident.TxnUndecided {
		return
	}
	if abort {
		a.metrics.pushed(outcome.String())
	}
	if err := a.judgement(fsm.Resolve{Group: a.cfg.Group, Txn: ref.ID, Outcome: outcome}); err != nil {
		a.cfg.Logger.Warn("a transaction could not be resolved", "group", a.cfg.Group, "txn", ref.ID, "outcome", outcome, "error", err)
	}
}
