package group

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Decide says what becomes of an attempt, here in its decision group, and returns what has become of it: what was decided
// first. Repeated, it returns the same. CodeAmbiguous: it may have been decided so.
func (a *Authority) Decide(ctx context.Context, c *fsm.Decide) (*fsm.Decision, error) {
	if err := a.ours(c.Txn.ID.Decider); err != nil {
		return nil, err
	}
	if _, err := a.leader(ctx); err != nil {
		return nil, err
	}
	res, err := a.propose(ctx, *c)
	return res.Decision, err
}

// Outcome is what was decided on an attempt, as of an instant after the call; undecided where nothing was. With abort it is
// decided now, if it was not before. Of one of which nothing is remembered any more it is decided now in any case: it cannot
// commit, and the entry sees to it that this stays so.
func (a *Authority) Outcome(ctx context.Context, ref ident.TxnRef, abort bool) (*fsm.Decision, error) {
	if err := a.ours(ref.ID.Decider); err != nil {
		return nil, err
	}
	l, err := a.leader(ctx)
	if err != nil {
		return nil, err
	}
	if !abort {
		if err := a.confirm(ctx, l); err != nil {
			return nil, err
		}
		if d, ok := a.cfg.Machine.Decided(ref.ID); ok {
			return &d, nil
		}
		if !a.cfg.Machine.Forgotten(&ref) {
			return &fsm.Decision{Txn: ref.ID}, nil
		}
	}
	res, err := a.propose(ctx, fsm.Push{Txn: ref})
	return res.Decision, err
}

// toldAtOnce bounds the commits of which one participant is told at once.
const toldAtOnce = 64

// drive has the participants of new commits told.
func (a *Authority) drive() {
	a.mu.Lock()
	l := a.lead
	if l == nil || len(l.committed) == 0 {
		a.mu.Unlock()
		return
	}
	ids := l.committed
	l.committed = nil
	a.mu.Unlock()
	var owing []errand
	for _, id := range ids {
		if d, ok := a.cfg.Machine.Decided(id); ok && d.Outcome == ident.TxnCommitted {
			owing = addOwing(owing, &d)
		}
	}
	a.tellAll(l, owing)
}

// addOwing adds what is still to be told of a commit.
func addOwing(to []errand, d *fsm.Decision) []errand {
	for _, g := range d.Unresolved {
		to = append(to, errand{ident.TxnRef{ID: d.Txn}, g})
	}
	return to
}

func (a *Authority) tellAll(l *lead, owing []errand) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range owing {
		l.tells.add(x)
	}
	a.runLocked(l, &l.tells, a.tell)
}

// tell has a participant of a commit resolve. One that cannot be reached in time is told again by the sweeper.
func (a *Authority) tell(x errand) {
	ctx, cancel := context.WithTimeout(a.ctx, judgeTime)
	defer cancel()
	id := x.txn.ID
	if err := a.cfg.Groups.Resolve(ctx, fsm.Resolve{Group: x.to, Txn: id, Outcome: ident.TxnCommitted}); err != nil {
		a.cfg.Logger.Debug("a participant has not resolved yet", "txn", id, "participant", x.to, "error", err)
		return
	}
	if _, err := a.propose(ctx, fsm.Resolved{Txn: id, Group: x.to}); err != nil {
		a.cfg.Logger.Debug("that a participant has resolved was not recorded", "txn", id, "participant", x.to, "error", err)
	}
}

// pending is the sweeper's memory of the transactions that are not over: since when it has seen each.
type pending map[ident.TxnID]time.Time

// pushTransactions sees that no transaction stays: commits whose participants do not know of it are told again, and what has
// been prepared for too long is pushed, whether anybody waits for it or not.
func (s *sweeper) pushTransactions(l *lead, now time.Time) {
	seen := pending{}
	var due []errand
	var locked []lockedSince
	for after := (ident.TxnID{}); ; {
		page := s.cfg.Machine.Prepared(after, sweptTransactions)
		for _, p := range page {
			since, known := s.pending[p.Txn.ID]
			if !known {
				since = now
			}
			seen[p.Txn.ID] = since
			if s.deciderLost(p.Txn.ID) {
				locked = addLocked(locked, &p, since)
			}
			if now.Sub(since) >= s.cfg.AbortAfter {
				due = append(due, errand{p.Txn, p.Txn.ID.Decider})
			}
		}
		if len(page) < sweptTransactions {
			break
		}
		after = page[len(page)-1].Txn.ID
	}
	s.pending = seen
	s.oldest()
	s.noteLocked(locked)
	s.requeue(l)
	s.push(l, due)
}

const (
	sweptTransactions = 1000 // looked at in one go
	pushedAtOnce      = 16   // at one decision group
)

// push has transactions settled at their decision groups. It does not wait for them.
func (s *sweeper) push(l *lead, due []errand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range due {
		l.pushes.add(x)
	}
	s.runLocked(l, &l.pushes, func(x errand) { s.settle(x.txn, true) })
}

// oldest notes for the status since when the oldest transaction has been prepared here.
func (s *sweeper) oldest() {
	var first time.Time
	for _, since := range s.pending {
		if first.IsZero() || since.Before(first) {
			first = since
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oldestPrepared = first
}

// requeue has the participants of all commits told that have not said that they know.
func (a *Authority) requeue(l *lead) {
	for after := (ident.TxnID{}); ; {
		page := a.cfg.Machine.Unresolved(after, sweptTransactions)
		var owing []errand
		for i := range page {
			owing = addOwing(owing, &page[i])
		}
		a.tellAll(l, owing)
		if len(page) < sweptTransactions {
			return
		}
		after = page[len(page)-1].Txn
	}
}
