package client

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
)

const (
	// pauseFirst is the pause after the first round of all nodes without success. Each further round doubles it, up to pauseMost.
	pauseFirst = 20 * time.Millisecond
	pauseMost  = time.Second
	// leastBudget is the least time that an attempt gets, if the call has that much left.
	leastBudget = time.Second
	// maxWrite bounds the time of one write, even if its context allows more. Groups store the id of a write for at least a day.
	// A copy of the write that arrived after that would take effect once more.
	maxWrite = time.Hour
)

// carryOut sends the call until a node answers it, retrying is pointless, or its time or its retry budget is used up. An error may
// come with the refusal that caused it.
func (c *Client) carryOut(ctx context.Context, q *call) (*answer, error) {
	ctx, cancel := c.bounded(ctx, most(q))
	defer cancel()
	var past history
	tried := map[*endpoint]bool{}
	var full *endpoint // the nearest node of this round that has no room for the call yet
	for round := 0; ; {
		if ctx.Err() != nil {
			return nil, past.timeOver(ctx, q)
		}
		e := c.endpoints.next(time.Now(), tried)
		var t *turn
		switch {
		case e != nil:
			tried[e] = true
			if t = e.pace.enter(q); t == nil {
				full = cmp.Or(full, e)
				past.held = true
				continue
			}
		case past.attempts > 0 && (past.last.verdict == elsewhere || q.hasty && !past.unknown): // no node can carry it out
			return past.last.answer, past.settle(q, past.last.err)
		case full != nil:
			clear(tried)
			e, full = full, nil
			tried[e] = true
			round++
			if t = e.pace.wait(ctx, q); t == nil {
				continue
			}
		default:
			pause(ctx, round, past.last.err.RetryAfter)
			clear(tried)
			round++
			continue
		}
		if past.attempts > 0 {
			if ctx = admission.WithBudget(ctx); admission.Retry(ctx) != nil {
				e.pace.leave(t, q, &past.last)
				return past.last.answer, past.settle(q, past.last.err)
			}
		}
		a, f := c.carrier.attempt(ctx, e, q, c.budget(ctx, q))
		e.pace.leave(t, q, f)
		if f == nil {
			return a, nil
		}
		past.add(ctx, f)
		if f.verdict == final {
			return f.answer, past.settle(q, f.err)
		}
	}
}

// most returns how long the call may take, whatever its context allows.
func most(q *call) time.Duration {
	if q.writes {
		return maxWrite
	}
	return math.MaxInt64
}

// bounded returns a context that ends after at most most. If ctx has no deadline, it ends after [Config].Timeout.
func (c *Client) bounded(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	switch {
	case !ok:
		return context.WithTimeout(ctx, min(most, c.timeout))
	case time.Until(deadline) > most:
		return context.WithTimeout(ctx, most)
	}
	return ctx, func() {}
}

// budget returns how much of the call's time the next attempt gets: half of it, if another node may need the rest.
func (c *Client) budget(ctx context.Context, q *call) time.Duration {
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	if len(c.endpoints.all) == 1 || q.whole {
		return left
	}
	return max(left/2, min(left, leastBudget))
}

// pause waits before the next round. The pause grows with each round and has jitter. It is at least as long as the node asked
// for, up to pauseMost.
func pause(ctx context.Context, round int, asked time.Duration) {
	pauseFrom(ctx, pauseFirst, round, asked)
}

// pauseFrom is like pause but begins with the given length.
func pauseFrom(ctx context.Context, first time.Duration, round int, asked time.Duration) {
	d := min(pauseMost, first<<min(round, 10))
	asked = min(pauseMost, asked)
	timer := time.NewTimer(max(d/2+rand.N(d/2+1), asked+rand.N(asked/2+1)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// history is what the attempts of a call found out so far.
type history struct {
	attempts int
	last     failure
	unknown  bool // an attempt may have taken effect, or may do so later
	held     bool // the call had to wait in a line
}

// add records a failure. If the call's time ended during the attempt, its failure says less than the one before it, which is
// kept.
func (h *history) add(ctx context.Context, f *failure) {
	h.attempts++
	if h.attempts == 1 || ctx.Err() == nil {
		h.last = *f
	}
	h.unknown = h.unknown || f.err.Code == api.CodeAmbiguous || f.err.Unknown
}

// settle returns the error that ends the call. A failed condition is the outcome of the write itself, whichever attempt found it,
// unless the call is fickle. Any other refusal says nothing about an earlier attempt whose outcome is unknown.
func (h *history) settle(q *call, err *api.Error) error {
	outcome := err.Code == api.CodePreconditionFailed && !q.fickle
	unknown := h.unknown || q.given && err.Code == api.CodeUnavailable
	if unknown && !outcome && err.Code != api.CodeAmbiguous {
		err = &api.Error{Code: api.CodeAmbiguous, Hint: "an attempt may have taken effect, and then:", Err: err}
	}
	err.Op, err.Key = q.op, q.key
	return err
}

// timeOver returns the error of a call whose context has ended.
func (h *history) timeOver(ctx context.Context, q *call) error {
	e := &api.Error{Code: api.CodeUnavailable, Op: q.op, Key: q.key, Err: ctx.Err()}
	if h.unknown || q.given {
		e.Code = api.CodeAmbiguous
	}
	if h.attempts == 0 && h.held {
		e.Hint, e.RetryAfter = "not sent: the nodes are overloaded", heldRetryAfter
	}
	if h.attempts > 0 {
		e.Hint = "gave up after 1 attempt"
		if h.attempts > 1 {
			e.Hint = fmt.Sprintf("gave up after %d attempts", h.attempts)
		}
		e.RetryAfter = h.last.err.RetryAfter
		e.Err = fmt.Errorf("%w; the last one: %w", ctx.Err(), h.last.err)
	}
	return e
}
