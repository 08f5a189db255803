package group

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// waiter is a request that may have to wait for transactions which hold its keys. Reads, lists, writes and prepares all wait
// in this one way: a request takes its turn when it first has to wait, waits until none of the intents that it met stands,
// looks again, and ends its turn with its answer.
type waiter struct {
	*Authority
	lead *lead
	turn *turn // nil until the request needs one
}

// queue makes the request's turn stand. CodeUnavailable if there are too many.
func (w *waiter) queue() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lead.queue.expire(time.Now())
	if !w.lead.queue.add(w.turn, w.cfg.MaxWaiting) {
		return unavailable("too many requests wait for transactions")
	}
	return nil
}

// await waits, in the request's turn, until none of the intents stands.
func (w *waiter) await(ctx context.Context, intents []fsm.Intent) error {
	if err := w.queue(); err != nil {
		return err
	}
	return w.awaitIntents(ctx, w.lead, intents)
}

// end ends the request's turn.
func (w *waiter) end() {
	if w.turn == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lead.queue.end(w.turn)
}

// awaitTurns waits until find finds no turn that keeps t off. The caller holds nothing that another could be waiting for.
func (a *Authority) awaitTurns(ctx context.Context, l *lead, find func(*queue) *turn) error {
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
		err := a.awaitTurn(ctx, l, o)
		a.mu.Lock()
		l.blocked--
		a.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// readGrace is how much older than a read or list its turn is. What began shortly before it, and has not locked its keys yet, is
// kept off as well: else those that the turn of one read has kept off would all come in the turn of the next, and keep that
// waiting. Nobody waits for what is kept off, and what is older than this goes before any read.
const readGrace = time.Second

// turnPatience is how long a turn is waited for before it is looked for again: one that a read has kept may be over by then.
const turnPatience = 50 * time.Millisecond

func (a *Authority) awaitTurn(ctx context.Context, l *lead, o *turn) error {
	again := time.NewTimer(turnPatience)
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

// lookInTurn looks until nothing is in the way. What is read later than the confirm is newer, and committed, too.
func (w *waiter) lookInTurn(ctx context.Context, look func() error) error {
	for {
		err := look()
		met, ok := errors.AsType[*fsm.IntentsError](err)
		if !ok {
			return err
		}
		if w.turn.list != nil {
			w.narrow(met.Page)
		}
		if err := w.await(ctx, met.Intents); err != nil {
			return err
		}
	}
}

// narrow makes a list's turn that of the page which it has met: a list of a few keys keeps nobody off the others.
func (w *waiter) narrow(page api.Range) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*w.turn.list = page
}

// takeTurn begins a read's turn. One that is to come again stands from the beginning, in place of those that its earlier rounds
// have kept.
func (a *Authority) takeTurn(l *lead, q *words.ReadRequest) (*waiter, error) {
	w := &waiter{Authority: a, lead: l, turn: turnOf(ident.TxnRef{Age: q.Age}, nil, slices.Compact(slices.Sorted(slices.Values(q.Keys))))}
	if q.Hold&words.HoldTxn == 0 {
		w.turn.grace = readGrace
	}
	if q.Hold == words.HoldNone {
		return w, nil
	}
	w.turn.firm, w.turn.commits = q.Hold&words.HoldFirm != 0, q.Hold&words.HoldTxn != 0
	if err := w.queue(); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	l.queue.endHeld(w.turn.said, func(o *turn) bool { return subset(o.read, w.turn.read) })
	return w, nil
}

// endTurn ends the read's turn, or keeps it if the read is to come again.
func (w *waiter) endTurn(q *words.ReadRequest, entries []api.Entry, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	round, txn := q.Hold&words.HoldRound != 0, q.Hold&words.HoldTxn != 0
	if err == nil && w.turn.queued && (txn || round && !unchanged(q, entries)) {
		w.lead.queue.hold(w.turn, time.Now())
		return
	}
	w.lead.queue.end(w.turn)
}

// unchanged reports whether all entries are at the versions that the reader knows.
func unchanged(q *words.ReadRequest, entries []api.Entry) bool {
	for i := range entries {
		if len(q.Known) == 0 || entries[i].Version != q.Known[i] {
			return false
		}
	}
	return true
}
