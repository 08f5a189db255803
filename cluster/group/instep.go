package group

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// inStep is since when a replica's state may be old: the newest instant at which it certainly was in step. A replica is in step as of
// an instant if it has applied an index that the group's leader, confirmed by a quorum, named after that instant: all that had been
// acknowledged by then is in its state.
type inStep struct {
	mu    sync.Mutex
	known bool
	at    words.ClockSample // the state is not older
	// The oldest answer that the replica had not applied when it came, if there is one.
	waits bool
	asked words.ClockSample
	index uint64
}

// unknownAge is the age of a replica that has not met a leader since it started: no bound is known. It is about a century, so that
// it is no more than what it says wherever it is read.
const unknownAge = 100 * 365 * 24 * time.Hour

// note takes an answer to a question that was asked at the sample. applied is what the replica has applied.
func (s *inStep) note(asked words.ClockSample, index, applied uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(applied)
	switch {
	case index <= applied:
		s.known, s.at, s.waits = true, asked, false
	case !s.waits:
		s.waits, s.asked, s.index = true, asked, index
	}
}

// settle looks whether the answer that waits has been applied.
func (s *inStep) settle(applied uint64) {
	if s.waits && s.index <= applied {
		s.known, s.at, s.waits = true, s.asked, false
	}
}

// age is how old a state may be that was looked at before now. applied is what it held.
func (s *inStep) age(now words.ClockSample, applied uint64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(applied)
	if !s.known {
		return unknownAge
	}
	return now.HolderElapsed(s.at)
}

// Index returns the index of the last entry that this leader has applied, behind a confirm that began after the call: all that was
// acknowledged before the call stands at or before it.
func (a *Authority) Index(ctx context.Context) (uint64, error) {
	l, err := a.leader(ctx)
	if err != nil {
		return 0, err
	}
	if err := a.confirm(ctx, l); err != nil {
		return 0, err
	}
	index := a.cfg.Machine.Applied()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed { // so may the machine be: one that is closed has applied nothing
		return 0, unavailable("the node is shutting down")
	}
	return index, nil
}

// Now is the clock by which the age of this replica is judged: take a sample before a leader is asked for its Index.
func (a *Authority) Now() words.ClockSample { return a.cfg.Clock.Now() }

// InStep takes the index that the group's leader has answered with to a question that was asked at the sample.
func (a *Authority) InStep(asked words.ClockSample, index uint64) {
	a.step.note(asked, index, a.cfg.Machine.Applied())
}

// ownerPatience is how long a bounded or stale read waits for the owner at a node that leads: without a quorum it would wait for all
// of its time.
const ownerPatience = 300 * time.Millisecond

// readReplica answers a bounded or stale read: as the owner does if that is here and answers soon, else from this replica.
func (a *Authority) readReplica(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	short, cancel := context.WithTimeout(ctx, ownerPatience)
	defer cancel()
	err := a.readOwner(short, q, out)
	if !ownerFails(err) {
		return err
	}
	var entries []api.Entry
	age, ok := a.lookHere(q.Consistency, q.MaxStale, func(before bool) (err error) {
		read := a.cfg.Machine.Read
		if before {
			read = a.cfg.Machine.ReadBefore
		}
		entries, err = a.lookBy(read, q)
		return err
	})
	if !ok {
		return err
	}
	*out = words.ReadResult{ReadResult: api.ReadResult{Entries: entries, Group: a.cfg.Group, ServedBy: api.ServedByStale, Age: age}}
	return nil
}

// listReplica is readReplica of a list.
func (a *Authority) listReplica(ctx context.Context, q *words.ListRequest) (*api.ListResult, error) {
	short, cancel := context.WithTimeout(ctx, ownerPatience)
	defer cancel()
	page, err := a.listOwner(short, q)
	if !ownerFails(err) {
		return page, err
	}
	age, ok := a.lookHere(q.Consistency, q.MaxStale, func(before bool) (err error) {
		list := a.cfg.Machine.List
		if before {
			list = a.cfg.Machine.ListBefore
		}
		if page, err = list(&q.ListRequest); err != nil {
			return err
		}
		return a.cfg.Machine.Covers(q.Range)
	})
	if !ok {
		return nil, err
	}
	page.Stale, page.Age = true, age
	return page, nil
}

// ownerFails reports whether the owner gives no answer, and another may.
func ownerFails(err error) bool {
	switch api.CodeOf(err) {
	case api.CodeUnavailable, api.CodeNotLeader, fsm.DeciderLost:
		return true
	}
	return false
}

// ownerLost is how old a replica's state is when its group is taken to have no leader that could answer instead.
const ownerLost = 5 * time.Second

// lookHere looks at this replica's state, and returns how old that may be. ok is false if it cannot be looked at, or is too old.
//
// If a transaction holds what is read, a look can only be at the state from before. The transaction may have committed at any time
// since it was prepared here, so that no bound is known. That is an answer to a stale read, if no better one is to be had soon.
func (a *Authority) lookHere(level api.Consistency, maxStale time.Duration, look func(before bool) error) (age time.Duration, ok bool) {
	applied := a.cfg.Machine.Applied() // before the look: the state is this or a newer one
	err := look(false)
	age = a.step.age(a.cfg.Clock.Now(), applied)
	if met, held := errors.AsType[*fsm.IntentsError](err); held && level == api.Stale {
		lost := func(x fsm.Intent) bool { return a.deciderLost(x.Txn.ID) }
		if age > ownerLost || slices.ContainsFunc(met.Intents, lost) {
			return unknownAge, look(true) == nil
		}
	}
	return age, err == nil && (level == api.Stale || age <= maxStale)
}
