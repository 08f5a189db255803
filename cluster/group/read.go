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
	if late := a.awaitOverdue(ctx, l, q.Keys); len(late) == 0 {
		if wanted := a.admit(words.CallerFrom(ctx), l, q); len(wanted) > 0 && a.readGranted(ctx, l, q, wanted, out) {
			return nil
		}
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
	var x seen
	var err error
	if q.Hold == words.HoldNone {
		x, err = a.look(q)
	}
	if q.Hold != words.HoldNone || api.CodeOf(err) == fsm.RetryIntents {
		x, err = a.readQueued(ctx, l, q)
	}
	if err != nil {
		return err
	}
	if len(x.deadlines) > 0 {
		a.tellTTL(l, x)
	}
	*out = words.ReadResult{Deadlines: x.deadlines,
		ReadResult: api.ReadResult{Entries: x.entries, Group: a.cfg.Group, Snapshot: true, Timing: timing}}
	return nil
}

// seen is what keys hold in one view of the machine, and their deadlines: as many, or none.
type seen struct {
	entries   []api.Entry
	deadlines []uint64
}

// readQueued reads the keys when no transaction holds any of them. The read has a position meanwhile, which keeps younger
// transactions off, so that it waits only for transactions that came before it.
func (a *Authority) readQueued(ctx context.Context, l *lead, q *words.ReadRequest) (x seen, err error) {
	w, err := a.readWaiter(l, q)
	if err != nil {
		return seen{}, err
	}
	defer func() { w.endRead(q, x.entries, err) }()
	if w.position.commits {
		err = a.awaitPositions(ctx, l, func(q *queue) *position { return q.olderCommits(w.position) })
		if err != nil {
			return seen{}, err
		}
	}
	err = w.lookQueued(ctx, func() (err error) {
		x, err = a.look(q)
		return err
	})
	return x, err
}

// look reads all keys in one view of the machine.
func (a *Authority) look(q *words.ReadRequest) (seen, error) {
	return a.lookBy(a.cfg.Machine.Read, q)
}

func (a *Authority) lookBy(read func([]api.Key) ([]api.Entry, []uint64, error), q *words.ReadRequest) (seen, error) {
	entries, deadlines, err := read(q.Keys)
	if err != nil {
		return seen{}, err
	}
	for i := range q.Known {
		omitKnown(&entries[i], q.Known[i])
	}
	return seen{entries, deadlines}, nil
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
	w.position.list = listedIn(q)
	defer w.end()
	var page *api.ListResult
	var at fsm.ListedAt
	look := func() (err error) {
		page, at, err = a.cfg.Machine.ListAt(&q.ListRequest)
		return err
	}
	err = w.lookQueued(ctx, look)
	if err == nil {
		if late := overdueIn(page, &at, a.timeOf(l)); len(late) > 0 {
			a.awaitOverdue(ctx, l, late)
			err = w.lookQueued(ctx, look)
		}
	}
	if err != nil {
		return nil, err
	}
	setTTLs(page, &at, a.timeOf(l))
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

// listedIn returns the range of all that the request lists. Of several lists it is one range with what lies between.
func listedIn(q *words.ListRequest) *api.Range {
	all := q.Range
	for i := range q.Also {
		r := q.Also[i].Range
		if all.Start = min(all.Start, r.Start); all.End == "" || r.End == "" {
			all.End = ""
		} else {
			all.End = max(all.End, r.End)
		}
	}
	return &all
}
