package group

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Decide records the outcome of an attempt in its decision group, which is this group. It returns the outcome that
// was recorded first, so repeated calls return the same. CodeAmbiguous means that the outcome may have been recorded
// as given.
func (a *Authority) Decide(ctx context.Context, c *fsm.Decide) (*fsm.Decision, error) {
	if err := a.ours(c.Txn.ID.Decider); err != nil {
		return nil, err
	}
	if _, err := a.leader(ctx); err != nil {
		return nil, err
	}
	if err := a.cfg.Machine.TakesOutcomes(len(c.Outcomes)); err != nil {
		return nil, err
	}
	res, err := a.propose(ctx, *c)
	return res.Decision, err
}

// Outcome returns what was decided on an attempt, as of an instant after the call, or undecided if nothing was. If
// abort is true and nothing was decided before, the attempt is decided now. An attempt of which the group remembers
// nothing any more is decided now in any case. Such an attempt cannot commit, and the log entry ensures that it never
// does.
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

// notifyAtOnce bounds the commits of which one participant is notified at the same time.
const notifyAtOnce = 64

// drive starts to notify the participants of new commits.
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
	a.notifyAll(l, owing)
}

// addOwing appends the notifications that a commit still owes its participants.
func addOwing(to []errand, d *fsm.Decision) []errand {
	for _, g := range d.Unresolved {
		to = append(to, errand{ident.TxnRef{ID: d.Txn}, g})
	}
	return to
}

func (a *Authority) notifyAll(l *lead, owing []errand) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range owing {
		l.notices.add(x)
	}
	a.runLocked(l, &l.notices, a.notify)
}

// notify makes a participant of a commit resolve it. If the participant cannot be reached in time, the sweeper tries
// again.
func (a *Authority) notify(x errand) {
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

// pending is the sweeper's memory of the transactions that are not over. It maps each to when the sweeper first saw
// it.
type pending map[ident.TxnID]time.Time

// pushTransactions ensures that no transaction stays. Commits that participants have not resolved are sent to them
// again. Transactions that have been prepared for too long are pushed, whether or not a request waits for them.
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
	sweptTransactions = 1000 // read at once
	pushedAtOnce      = 16   // to one decision group
)

// push starts to settle the transactions at their decision groups. It does not wait for them.
func (s *sweeper) push(l *lead, due []errand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range due {
		l.pushes.add(x)
	}
	s.runLocked(l, &l.pushes, func(x errand) { s.settle(x.txn, true) })
}

// oldest records, for the status, since when the oldest transaction has been prepared here.
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

// requeue queues a notification for each participant that has not confirmed a commit.
func (a *Authority) requeue(l *lead) {
	for after := (ident.TxnID{}); ; {
		page := a.cfg.Machine.Unresolved(after, sweptTransactions)
		var owing []errand
		for i := range page {
			owing = addOwing(owing, &page[i])
		}
		a.notifyAll(l, owing)
		if len(page) < sweptTransactions {
			return
		}
		after = page[len(page)-1].Txn
	}
}
