package group

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// waiter is a request that may have to wait for transactions that hold its keys. Reads, lists, writes and prepares
// all wait in the same way. A request gets its position in the queue when it first has to wait, waits until none of
// the intents that it met stands, and tries again. Its position ends with its answer.
type waiter struct {
	*Authority
	lead     *lead
	position *position // nil until the request needs one
}

// queue puts the request's position in the queue. It returns CodeUnavailable if there are too many positions.
func (w *waiter) queue() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lead.queue.expire(time.Now())
	if !w.lead.queue.add(w.position, w.cfg.MaxWaiting) {
		return unavailable("too many requests wait for transactions")
	}
	return nil
}

// await queues the request and waits until none of the intents stands.
func (w *waiter) await(ctx context.Context, intents []fsm.Intent) error {
	if err := w.queue(); err != nil {
		return err
	}
	ctx, span := trace.Start(ctx, "await transactions", trace.Internal)
	defer span.End()
	return w.awaitIntents(ctx, w.lead, intents)
}

// again takes one try from the request's budget and returns the context to go on with. If none is left, it returns
// [words.Exhausted].
func again(ctx context.Context) (context.Context, error) {
	ctx = admission.WithBudget(ctx)
	if err := admission.Retry(ctx); err != nil {
		e := *api.AsError(err)
		e.Code = words.Exhausted
		return ctx, &e
	}
	return ctx, nil
}

// end ends the request's position.
func (w *waiter) end() {
	if w.position == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lead.queue.end(w.position)
}

// awaitPositions waits until find returns nil, that is, until no position keeps the caller off. The caller must
// hold nothing that another request could be waiting for.
func (a *Authority) awaitPositions(ctx context.Context, l *lead, find func(*queue) *position) error {
	for {
		a.mu.Lock()
		l.queue.expire(time.Now())
		o := find(&l.queue)
		if o != nil && l.blocked >= a.cfg.MaxWaiting {
			a.mu.Unlock()
			return unavailable("too many requests wait for older ones")
		}
		if o != nil {
			l.blocked++
		}
		a.mu.Unlock()
		if o == nil {
			return nil
		}
		err := a.awaitPosition(ctx, l, o)
		a.mu.Lock()
		l.blocked--
		a.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// readGrace is how much older than the read or list its position is. Transactions that began shortly before the read and
// have not locked their keys yet are therefore kept off as well. Otherwise all transactions that the position of one read
// has kept off would come during the position of the next read and keep that waiting. No request waits for a transaction
// that is kept off. A transaction that began more than readGrace before a read goes before that read.
const readGrace = time.Second

// positionPatience is how long a request waits for another to leave the queue before it looks again, since a position
// that a read has kept may be over by then.
const positionPatience = 50 * time.Millisecond

func (a *Authority) awaitPosition(ctx context.Context, l *lead, o *position) error {
	again := time.NewTimer(positionPatience)
	defer again.Stop()
	select {
	case <-o.over:
	case <-again.C:
	case <-l.ended:
		return notLeader("")
	case <-a.ctx.Done():
		return unavailable("the node is shutting down")
	case <-ctx.Done():
		return &api.Error{Code: api.CodeUnavailable, RetryAfter: retryIntent, Err: ctx.Err(),
			Hint: "the time was up while an older read held the keys"}
	}
	return nil
}

// lookQueued calls look until no intent is in the way. What is read later than the confirm is newer, and committed
// too.
func (w *waiter) lookQueued(ctx context.Context, look func() error) error {
	for {
		err := look()
		met, ok := errors.AsType[*fsm.IntentsError](err)
		if !ok {
			return err
		}
		if w.position.list != nil {
			w.narrow(met.Page)
		}
		if err := w.await(ctx, met.Intents); err != nil {
			return err
		}
		if ctx, err = again(ctx); err != nil {
			return err
		}
	}
}

// narrow limits a list's position to the page in which it met the intents, so that a list of a few keys does not keep
// requests off the others.
func (w *waiter) narrow(page api.Range) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*w.position.list = page
}

// readWaiter creates a waiter with a read's position. If the read will come again, the position is queued from the
// beginning and replaces the positions that earlier rounds of the read have kept.
func (a *Authority) readWaiter(l *lead, q *words.ReadRequest) (*waiter, error) {
	w := &waiter{Authority: a, lead: l, position: positionOf(ident.TxnRef{Age: q.Age}, nil, slices.Compact(slices.Sorted(slices.Values(q.Keys))))}
	if q.Hold&words.HoldTxn == 0 {
		w.position.grace = readGrace
	}
	if q.Hold == words.HoldNone {
		return w, nil
	}
	w.position.firm, w.position.commits = q.Hold&words.HoldFirm != 0, q.Hold&words.HoldTxn != 0
	if err := w.queue(); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	l.queue.endHeld(w.position.said, func(o *position) bool { return subset(o.read, w.position.read) })
	return w, nil
}

// endRead ends the read's position, or keeps it if the read will come again.
func (w *waiter) endRead(q *words.ReadRequest, entries []api.Entry, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	round, txn := q.Hold&words.HoldRound != 0, q.Hold&words.HoldTxn != 0
	if err == nil && w.position.queued && (txn || round && !unchanged(q, entries)) {
		w.lead.queue.hold(w.position, time.Now())
		return
	}
	w.lead.queue.end(w.position)
}

// unchanged reports whether all entries have the versions that the reader knows.
func unchanged(q *words.ReadRequest, entries []api.Entry) bool {
	for i := range entries {
		if len(q.Known) == 0 || entries[i].Version != q.Known[i] {
			return false
		}
	}
	return true
}
