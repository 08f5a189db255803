package region

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

// Read answers from the machine, behind a confirm that began after the read had arrived; or, where leases are wished for
// and would pay, with what applying the grant returned. A bounded or stale read that cannot be answered so soon is answered by this
// replica, whoever leads, with its age.
func (r *Region) Read(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	if err := r.ours(q.Group); err != nil {
		return nil, err
	}
	if q.Consistency == api.Bounded || q.Consistency == api.Stale {
		return r.readReplica(ctx, q)
	}
	return r.readOwner(ctx, q)
}

// readOwner is the read at the leader.
func (r *Region) readOwner(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
	l, err := r.leader(ctx)
	if err != nil {
		return nil, err
	}
	if wanted := r.admit(l, q); len(wanted) > 0 {
		if res, ok := r.readGranted(ctx, l, q, wanted); ok {
			return res, nil
		}
	}
	return r.readConfirmed(ctx, l, q)
}

// readConfirmed is the owner's read: confirm, then look.
func (r *Region) readConfirmed(ctx context.Context, l *lead, q *api.ReadRequest) (*api.ReadResult, error) {
	began := time.Now()
	if err := r.confirm(ctx, l); err != nil {
		return nil, err
	}
	timing := api.Timing{Commit: time.Since(began)}
	var entries []api.Entry
	var err error
	if q.Hold == api.HoldNone {
		entries, err = r.look(q)
	}
	if q.Hold != api.HoldNone || api.CodeOf(err) == fsm.RetryIntents {
		entries, err = r.readInTurn(ctx, l, q)
	}
	if err != nil {
		return nil, err
	}
	return &api.ReadResult{Entries: entries, Group: r.cfg.Group, Snapshot: true, Timing: timing}, nil
}

// readInTurn reads the keys when no transaction holds one of them, in the read's turn: younger ones are kept off meanwhile, so
// that it waits for those alone which have come before it.
func (r *Region) readInTurn(ctx context.Context, l *lead, q *api.ReadRequest) (entries []api.Entry, err error) {
	w, err := r.takeTurn(l, q)
	if err != nil {
		return nil, err
	}
	defer func() { w.endTurn(q, entries, err) }()
	if w.turn.commits {
		err = r.awaitTurns(ctx, l, func(q *queue) *turn { return q.olderCommits(w.turn) })
		if err != nil {
			return nil, err
		}
	}
	err = w.lookInTurn(ctx, func() (err error) {
		entries, err = r.look(q)
		return err
	})
	return entries, err
}

// look reads all the keys in one view of the machine.
func (r *Region) look(q *api.ReadRequest) ([]api.Entry, error) {
	return r.lookBy(r.cfg.Machine.Read, q)
}

func (r *Region) lookBy(read func([]api.Key) ([]api.Entry, error), q *api.ReadRequest) ([]api.Entry, error) {
	entries, err := read(q.Keys)
	if err != nil {
		return nil, err
	}
	for i := range q.Known {
		omitKnown(&entries[i], q.Known[i])
	}
	return entries, nil
}

// omitKnown leaves out a value that the reader has already.
func omitKnown(e *api.Entry, known api.Version) {
	if !known.IsZero() && e.Version == known && e.Exists {
		e.Value, e.Unchanged = nil, true
	}
}

// List answers a page of the range, behind a confirm that began after it had arrived. CodeWrongGroup unless the group owns
// a shard of every part of the range: an answer that leaves keys out would look like a whole one. A bounded or stale list is answered
// by this replica if the owner does not answer soon.
func (r *Region) List(ctx context.Context, q *api.ListRequest) (*api.ListResult, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	if err := r.ours(q.Group); err != nil {
		return nil, err
	}
	if q.Consistency == api.Bounded || q.Consistency == api.Stale {
		return r.listReplica(ctx, q)
	}
	return r.listOwner(ctx, q)
}

// listOwner is the list at the leader.
func (r *Region) listOwner(ctx context.Context, q *api.ListRequest) (*api.ListResult, error) {
	l, err := r.leader(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.confirm(ctx, l); err != nil {
		return nil, err
	}
	w := waiter{Region: r, lead: l, turn: turnOf(api.TxnRef{Age: q.Age}, nil, nil)}
	w.turn.grace = readGrace
	w.turn.list = &api.Range{Start: q.Range.Start, End: q.Range.End}
	defer w.end()
	var page *api.ListResult
	err = w.lookInTurn(ctx, func() (err error) {
		page, err = r.cfg.Machine.List(q)
		return err
	})
	if err != nil {
		return nil, err
	}
	// After the list: what was ceded meanwhile is noticed, and what was adopted meanwhile was empty.
	if err := r.cfg.Machine.Covers(q.Range); err != nil {
		return nil, err
	}
	return page, nil
}
