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

// inStep tracks how old a replica's state may be: the newest instant at which the replica was certainly in step. A
// replica is in step as of an instant if it has applied an index that the group's leader, confirmed by a quorum,
// named after that instant. Then everything acknowledged by that instant is in its state.
type inStep struct {
	mu    sync.Mutex
	known bool
	at    words.ClockSample // the state is no older than this
	// The oldest answer that the replica had not yet applied when the answer arrived, if there is one.
	waits bool
	asked words.ClockSample
	index uint64
}

// unknownAge is the age of a replica that has not met a leader since it started: no bound is known. It is about a
// century, so that it claims no more than it should wherever it is read.
const unknownAge = 100 * 365 * 24 * time.Hour

// note records an answer to a question that was asked at the sample. applied is the index that the replica has
// applied.
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

// settle checks whether the waiting answer has been applied.
func (s *inStep) settle(applied uint64) {
	if s.waits && s.index <= applied {
		s.known, s.at, s.waits = true, s.asked, false
	}
}

// age returns how old a state that was read before now may be. applied is the index that the state held.
func (s *inStep) age(now words.ClockSample, applied uint64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(applied)
	if !s.known {
		return unknownAge
	}
	return now.HolderElapsed(s.at)
}

// Index returns the index of the last entry that this leader has applied, behind a confirm that began after the call.
// Everything acknowledged before the call is at or before that index.
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
	if a.closed { // the machine may be closed too, and a closed machine has applied nothing
		return 0, unavailable("the node is shutting down")
	}
	return index, nil
}

// Now returns a sample of the clock by which the age of this replica is judged. The caller takes the sample before it
// asks a leader for its Index.
func (a *Authority) Now() words.ClockSample { return a.cfg.Clock.Now() }

// InStep records the index with which the group's leader answered a question that was asked at the sample.
func (a *Authority) InStep(asked words.ClockSample, index uint64) {
	a.step.note(asked, index, a.cfg.Machine.Applied())
}

// ownerPatience is how long a bounded or stale read waits for the owner at a node that leads. Without a quorum it
// would otherwise wait for all of its time.
const ownerPatience = 300 * time.Millisecond

// readReplica answers a bounded or stale read. It uses the owner's read if the owner is this node and answers soon,
// and this replica otherwise.
func (a *Authority) readReplica(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	short, cancel := context.WithTimeout(ctx, ownerPatience)
	defer cancel()
	err := a.readOwner(short, q, out)
	if !ownerFails(err) {
		return err
	}
	var x seen
	age, ok := a.lookHere(q.Consistency, q.MaxStale, func(before bool) (err error) {
		read := a.cfg.Machine.Read
		if before {
			read = a.cfg.Machine.ReadBefore
		}
		x, err = a.lookBy(read, q)
		return err
	})
	if !ok {
		return err
	}
	setTTL(x.entries, x.deadlines, a.cfg.Machine.Now())
	*out = words.ReadResult{Deadlines: x.deadlines,
		ReadResult: api.ReadResult{Entries: x.entries, Group: a.cfg.Group, ServedBy: api.ServedByStale, Age: age}}
	return nil
}

// listReplica is readReplica for a list.
func (a *Authority) listReplica(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	short, cancel := context.WithTimeout(ctx, ownerPatience)
	defer cancel()
	page, err := a.listOwner(short, q)
	if !ownerFails(err) {
		return page, err
	}
	var here *api.ListResult
	var at fsm.ListedAt
	age, ok := a.lookHere(q.Consistency, q.MaxStale, func(before bool) (err error) {
		list := a.cfg.Machine.ListAt
		if before {
			list = a.cfg.Machine.ListBefore
		}
		if here, at, err = list(&q.ListRequest); err != nil {
			return err
		}
		return a.cfg.Machine.Covers(q.Range)
	})
	if !ok {
		return nil, err
	}
	setTTLs(here, &at, at.Now)
	here.Stale, here.Age = true, age
	return &words.ListResult{ListResult: *here}, nil
}

// ownerFails reports whether the owner gives no answer and another node may.
func ownerFails(err error) bool {
	switch api.CodeOf(err) {
	case api.CodeUnavailable, api.CodeNotLeader, fsm.DeciderLost:
		return true
	}
	return false
}

// ownerLost is the age of a replica's state above which its group is taken to have no leader that could answer
// instead.
const ownerLost = 5 * time.Second

// lookHere reads this replica's state and returns how old it may be. ok is false if the state cannot be read or is
// too old.
//
// If a transaction holds what is read, only the state from before that transaction can be read. The transaction may
// have committed at any time since it was prepared here, so no bound is known. A stale read gets that answer only if
// no better one can be had soon.
func (a *Authority) lookHere(level api.Consistency, maxStale time.Duration, look func(before bool) error) (age time.Duration, ok bool) {
	applied := a.cfg.Machine.Applied() // taken before the read, so the state is at this index or newer
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
