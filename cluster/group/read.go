package group

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Read answers from the machine, behind a confirm that began after the read arrived. If the reader asks for leases
// and may get them, it answers with the result of applying the grant instead. If the owner does not answer a bounded
// or stale read soon, this replica answers it with its age, whichever node leads.
func (a *Authority) Read(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	if err := q.Check(); err != nil {
		return err
	}
	if err := a.ours(q.Group); err != nil {
		return err
	}
	if q.Consistency == api.Bounded || q.Consistency == api.Stale {
		return a.readReplica(ctx, q, out)
	}
	return a.readOwner(ctx, q, out)
}

// readOwner reads at the leader.
func (a *Authority) readOwner(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	l, err := a.leader(ctx)
	if err != nil {
		return err
	}
	if wanted := a.admit(words.CallerFrom(ctx), l, q); len(wanted) > 0 && a.readGranted(ctx, l, q, wanted, out) {
		return nil
	}
	return a.readConfirmed(ctx, l, q, out)
}

// readConfirmed is the owner's read: a confirm, then a read of the machine.
func (a *Authority) readConfirmed(ctx context.Context, l *lead, q *words.ReadRequest, out *words.ReadResult) error {
	began := time.Now()
	if err := a.confirm(ctx, l); err != nil {
		return err
	}
	timing := api.Timing{Commit: time.Since(began)}
	var entries []api.Entry
	var err error
	if q.Hold == words.HoldNone {
		entries, err = a.look(q)
	}
	if q.Hold != words.HoldNone || api.CodeOf(err) == fsm.RetryIntents {
		entries, err = a.readQueued(ctx, l, q)
	}
	if err != nil {
		return err
	}
	*out = words.ReadResult{ReadResult: api.ReadResult{Entries: entries, Group: a.cfg.Group, Snapshot: true, Timing: timing}}
	return nil
}

// readQueued reads the keys when no transaction holds any of them. The read has a position meanwhile, which keeps younger
// transactions off, so that it waits only for transactions that came before it.
func (a *Authority) readQueued(ctx context.Context, l *lead, q *words.ReadRequest) (entries []api.Entry, err error) {
	w, err := a.readWaiter(l, q)
	if err != nil {
		return nil, err
	}
	defer func() { w.endRead(q, entries, err) }()
	if w.position.commits {
		err = a.awaitPositions(ctx, l, func(q *queue) *position { return q.olderCommits(w.position) })
		if err != nil {
			return nil, err
		}
	}
	err = w.lookQueued(ctx, func() (err error) {
		entries, err = a.look(q)
		return err
	})
	return entries, err
}

// look reads all keys in one view of the machine.
func (a *Authority) look(q *words.ReadRequest) ([]api.Entry, error) {
	return a.lookBy(a.cfg.Machine.Read, q)
}

func (a *Authority) lookBy(read func([]api.Key) ([]api.Entry, []uint64, error), q *words.ReadRequest) ([]api.Entry, error) {
	entries, _, err := read(q.Keys)
	if err != nil {
		return nil, err
	}
	for i := range q.Known {
		omitKnown(&entries[i], q.Known[i])
	}
	return entries, nil
}

// omitKnown drops a value that the reader already has.
func omitKnown(e *api.Entry, known api.Version) {
	if !known.IsZero() && e.Version == known && e.Exists {
		e.Value, e.Unchanged = nil, true
	}
}

// List returns a page of the range, behind a confirm that began after the request arrived. It returns CodeWrongGroup
// unless the group owns a shard of every part of the range, since a result that omits keys would look complete. If
// the owner does not answer a bounded or stale list soon, this replica answers it.
func (a *Authority) List(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	if err := a.ours(q.Group); err != nil {
		return nil, err
	}
	if q.Consistency == api.Bounded || q.Consistency == api.Stale {
		return a.listReplica(ctx, q)
	}
	return a.listOwner(ctx, q)
}

// listOwner lists at the leader.
func (a *Authority) listOwner(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	l, err := a.leader(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.confirm(ctx, l); err != nil {
		return nil, err
	}
	w := waiter{Authority: a, lead: l, position: positionOf(ident.TxnRef{Age: q.Age}, nil, nil)}
	w.position.grace = readGrace
	w.position.list = &api.Range{Start: q.Range.Start, End: q.Range.End}
	defer w.end()
	var page *api.ListResult
	var at fsm.ListedAt
	err = w.lookQueued(ctx, func() (err error) {
		page, at, err = a.cfg.Machine.ListAt(&q.ListRequest)
		return err
	})
	if err != nil {
		return nil, err
	}
	// This check comes after the list. A range that was ceded meanwhile is noticed, and one that was adopted
	// meanwhile was empty.
	if err := a.cfg.Machine.Covers(q.Range); err != nil {
		return nil, err
	}
	return &words.ListResult{ListResult: *page, At: a.listedAt(&at)}, nil
}

// listedAt returns the positions as of which the parts of a page were read.
func (a *Authority) listedAt(at *fsm.ListedAt) []words.Listed {
	all := make([]words.Listed, len(at.Shards))
	for i, s := range at.Shards {
		all[i] = words.Listed{
			Piece: words.Piece{Range: s.Range, Index: s.Index, Of: s.Of, Epoch: s.Epoch, Group: a.cfg.Group},
			At:    words.Position{Incarnation: at.Incarnation, Index: at.Index},
		}
	}
	return all
}
