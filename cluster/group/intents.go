package group

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// blocker is a transaction whose intents a request here waits for. The authority's mutex guards it, except for gone.
type blocker struct {
	gone    chan struct{} // closed when the transaction is resolved here
	waiters int
}

// Groups reaches all groups, including this one, each at its leader. The outcome of a transaction is known only to
// its decision group.
type Groups interface {
	// Outcome returns what the decision group has decided on the attempt, or undecided if it has not. If abort is
	// true, the group decides now.
	Outcome(ctx context.Context, ref ident.TxnRef, abort bool) (*fsm.Decision, error)
	// Resolve sends a decision to a participant and returns once the participant has resolved.
	Resolve(ctx context.Context, c fsm.Resolve) error
}

// blocking returns the intents that keep the attempt off its keys: any on the keys it writes, exclusive ones on the
// keys it reads. own reports whether the attempt has intents here itself, that is, whether it has prepared.
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

// crowded returns one intent of each key that has reached the limit of reading transactions. When that intent is
// gone, there is room for another reader.
func (a *Authority) crowded(read []api.Key) (in []fsm.Intent) {
	for _, k := range read {
		if x := a.cfg.Machine.Intents([]api.Key{k}); len(x) >= fsm.MaxReaders {
			in = append(in, x[0])
		}
	}
	return in
}

// awaitIntents waits until none of the intents' transactions has an intent here any more. For a transaction that does
// not end by itself, it asks the decision group, and later pushes it. It returns CodeUnavailable if ctx ends first.
//
// It does not wait for a transaction whose decision group is lost: it returns an error with code [fsm.DeciderLost].
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
	if !a.stands(x) { // it was resolved before the blocker was registered
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

// stands reports whether the intent is still there.
func (a *Authority) stands(x fsm.Intent) bool {
	for _, now := range a.cfg.Machine.Intents([]api.Key{x.Key}) {
		if now.Txn.ID == x.Txn.ID {
			return true
		}
	}
	return false
}

// block registers a request that waits for the transaction. The first one starts the pursuit of the transaction.
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
		close(b.gone) // no request waits, so the pursuit ends
	}
}

// resolvedLocked wakes the requests that wait for the transaction.
func (l *lead) resolvedLocked(id ident.TxnID) {
	if b := l.blockers[id]; b != nil {
		delete(l.blockers, id)
		close(b.gone)
	}
}

const (
	// retryIntent is the Retry-After of a request that gave way to a transaction or ran out of time waiting for it.
	retryIntent = 20 * time.Millisecond
	// queryFirst is how long a transaction is waited for before its decision group is asked. Each further wait is
	// twice as long, up to queryMost.
	queryFirst = 100 * time.Millisecond
	queryMost  = time.Second
)

// pursue asks for the outcome of a transaction that a request waits for, until the transaction is gone from here.
// Once AbortAfter has passed, it has the transaction aborted unless it was decided before.
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
			timer.Reset(min(pause, left)) // at AbortAfter at the latest
		} else {
			timer.Reset(pause)
		}
	}
}

// settle resolves the transaction here as its decision group has decided, if it has. With abort, the decision group
// decides.
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
