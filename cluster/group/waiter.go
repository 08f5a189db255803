package group

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// waiter is a request that may have to wait for transactions that hold its keys. Reads, lists, writes and prepares
// all wait in the same way. A request takes its turn when it first has to wait, waits until none of the intents that
// it met stands, and tries again. Its turn ends with its answer.
type waiter struct {
	*Authority
	lead *lead
	turn *turn // nil until the request needs one
}

// queue puts the request's turn in the queue. It returns CodeUnavailable if there are too many turns.
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

// end ends the request's turn.
func (w *waiter) end() {
	if w.turn == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lead.queue.end(w.turn)
}

// awaitTurns waits until find returns nil, that is, until no turn keeps the caller off. The caller must hold nothing
// that another request could be waiting for.
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

// readGrace is how much older than the read or list its turn is. Transactions that began shortly before the read and
// have not locked their keys yet are therefore kept off as well. Otherwise all transactions that the turn of one read
// has kept off would come during the turn of the next read and keep that waiting. No request waits for a transaction
// that is kept off. A transaction that began more than readGrace before a read goes before that read.
const readGrace = time.Second

// turnPatience is how long a request waits for a turn before it looks for that turn again, since a turn that a read
// has kept may be over by then.
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

// lookInTurn calls look until no intent is in the way. What is read later than the confirm is newer, and committed
// too.
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
		if ctx, err = again(ctx); err != nil {
			return err
		}
	}
}

// narrow limits a list's turn to the page in which it met the intents, so that a list of a few keys does not keep
// requests off the others.
func (w *waiter) narrow(page api.Range) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*w.turn.list = page
}

// takeTurn creates a read's turn. If the read will come again, the turn is queued from the beginning and replaces the
// turns that earlier rounds of the read have kept.
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

// endTurn ends the read's turn, or keeps it if the read will come again.
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

// unchanged reports whether all entries have the versions that the reader knows.
func unchanged(q *words.ReadRequest, entries []api.Entry) bool {
	for i := range entries {
		if len(q.Known) == 0 || entries[i].Version != q.Known[i] {
			return false
		}
	}
	return true
}
