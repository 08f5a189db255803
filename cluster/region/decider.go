package region

import (
	"context"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

// Decide says what becomes of an attempt, here in its decision group, and returns what has become of it: what was decided
// first. Repeated, it returns the same. CodeAmbiguous: it may have been decided so.
func (r *Region) Decide(ctx context.Context, c *fsm.Decide) (*fsm.Decision, error) {
	if err := r.ours(c.Txn.ID.Decider); err != nil {
		return nil, err
	}
	if _, err := r.leader(ctx); err != nil {
		return nil, err
	}
	res, err := r.propose(ctx, *c)
	return res.Decision, err
}

// Outcome is what was decided on an attempt, as of an instant after the call; undecided where nothing was. With abort it is
// decided now, if it was not before. Of one of which nothing is remembered any more it is decided now in any case: it cannot
// commit, and the entry sees to it that this stays so.
func (r *Region) Outcome(ctx context.Context, ref api.TxnRef, abort bool) (*fsm.Decision, error) {
	if err := r.ours(ref.ID.Decider); err != nil {
		return nil, err
	}
	l, err := r.leader(ctx)
	if err != nil {
		return nil, err
	}
	if !abort {
		if err := r.confirm(ctx, l); err != nil {
			return nil, err
		}
		if d, ok := r.cfg.Machine.Decided(ref.ID); ok {
			return &d, nil
		}
		if !r.cfg.Machine.Forgotten(&ref) {
			return &fsm.Decision{Txn: ref.ID}, nil
		}
	}
	res, err := r.propose(ctx, fsm.Push{Txn: ref})
	return res.Decision, err
}

// maxDriven bounds the commits whose participants are being told at once; the others wait for their turn.
const maxDriven = 256

// drive begins to tell the participants of commits, as many as there is room for.
func (r *Region) drive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lead
	if l == nil || r.closed {
		return
	}
	for len(l.committed) > 0 && len(l.driven) < maxDriven {
		id := l.committed[0]
		l.committed = l.committed[1:]
		if l.driven[id] {
			continue
		}
		l.driven[id] = true
		r.wg.Go(func() { r.tell(l, id) })
	}
}

// tell has all participants of a commit resolve. One that cannot be reached in time is told again by the sweeper.
func (r *Region) tell(l *lead, id api.TxnID) {
	defer func() {
		r.mu.Lock()
		delete(l.driven, id)
		r.mu.Unlock()
		r.signal()
	}()
	d, ok := r.cfg.Machine.Decided(id)
	if !ok || d.Outcome != api.TxnCommitted {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, judgeTime)
	defer cancel()
	done := make(chan struct{})
	for _, g := range d.Unresolved {
		go func() { // ends with ctx, and is waited for below
			defer func() { done <- struct{}{} }()
			if err := r.cfg.Groups.Resolve(ctx, fsm.Resolve{Group: g, Txn: id, Outcome: d.Outcome}); err != nil {
				r.cfg.Logger.Debug("a participant has not resolved yet", "txn", id, "participant", g, "error", err)
				return
			}
			if _, err := r.propose(ctx, fsm.Resolved{Txn: id, Group: g}); err != nil {
				r.cfg.Logger.Debug("that a participant has resolved was not recorded", "txn", id, "participant", g, "error", err)
			}
		}()
	}
	for range d.Unresolved {
		<-done
	}
}

// pending is the sweeper's memory of the transactions that are not over: since when it has seen each.
type pending map[api.TxnID]time.Time

// pushTransactions sees that no transaction stays: commits whose participants do not know of it are told again, and what has
// been prepared for too long is pushed, whether anybody waits for it or not.
func (s *sweeper) pushTransactions(l *lead, now time.Time) {
	seen := pending{}
	var due []api.TxnRef
	var locked []lockedSince
	for after := (api.TxnID{}); ; {
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
			if now.Sub(since) >= s.cfg.AbortAfter && len(due) < maxPushed {
				due = append(due, p.Txn)
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
	s.push(due)
}

const (
	sweptTransactions = 1000 // looked at in one go
	maxPushed         = 256  // in one pass
	pushers           = 16   // at once
)

// push settles transactions, and returns when that is done or has failed.
func (s *sweeper) push(due []api.TxnRef) {
	var wg sync.WaitGroup
	queue := make(chan api.TxnRef)
	for range min(pushers, len(due)) {
		wg.Go(func() {
			for ref := range queue {
				s.settle(ref, true)
			}
		})
	}
	for _, ref := range due {
		queue <- ref
	}
	close(queue)
	wg.Wait()
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
func (r *Region) requeue(l *lead) {
	for after := (api.TxnID{}); ; {
		page := r.cfg.Machine.Unresolved(after, sweptTransactions)
		r.mu.Lock()
		queued := map[api.TxnID]bool{}
		for _, id := range l.committed {
			queued[id] = true
		}
		for _, d := range page {
			if !queued[d.Txn] && !l.driven[d.Txn] {
				l.committed = append(l.committed, d.Txn)
			}
		}
		r.mu.Unlock()
		if len(page) < sweptTransactions {
			break
		}
		after = page[len(page)-1].Txn
	}
	r.signal()
}
