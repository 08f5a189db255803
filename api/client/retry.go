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
	// pauseFirst follows the first round of all nodes without success; each further round doubles it, up to pauseMost.
	pauseFirst = 20 * time.Millisecond
	pauseMost  = time.Second
	// leastBudget is what an attempt gets of the call's time, if there is as much.
	leastBudget = time.Second
	// maxWrite bounds the time of one write, whatever its context says: groups know the id of a write for a day at least,
	// and a copy of it that came later would take effect once more.
	maxWrite = time.Hour
)

// run sends the call until a node answers it, or asking on makes no sense, or its time or its budget of tries is over. An error
// may come with the answer that refused.
func (c *Client) run(ctx context.Context, q *call) (*answer, error) {
	ctx, cancel := c.bounded(ctx, most(q))
	defer cancel()
	var past history
	tried := map[*endpoint]bool{}
	var full *endpoint // the nearest of this round where the call has no turn yet
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
		case past.attempts > 0 && (past.last.verdict == elsewhere || q.hasty && !past.unknown): // every node says so
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
		a, f := c.carrier.attempt(ctx, e, q, c.budget(ctx))
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

// most is how long the call may take, whatever its context says.
func most(q *call) time.Duration {
	if q.writes {
		return maxWrite
	}
	return math.MaxInt64
}

// bounded is ctx, ending after at most so long, and by [Config].Timeout where it has no deadline.
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

// budget is what the next attempt gets of the call's time: half, where another node may need the rest.
func (c *Client) budget(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	if len(c.endpoints.all) == 1 {
		return left
	}
	return max(left/2, min(left, leastBudget))
}

// pause waits before the next round, longer each time, with jitter, and at least as long as the node asked for within reason.
func pause(ctx context.Context, round int, asked time.Duration) {
	pauseFrom(ctx, pauseFirst, round, asked)
}

// pauseFrom is pause that begins with another length.
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

// history is what a call has met so far.
type history struct {
	attempts int
	last     failure
	unknown  bool // some attempt may have taken effect, or may yet
	held     bool // it has waited for its turn
}

// add notes a failure. One that the end of the call's time cut off says less than the one before it.
func (h *history) add(ctx context.Context, f *failure) {
	h.attempts++
	if h.attempts == 1 || ctx.Err() == nil {
		h.last = *f
	}
	h.unknown = h.unknown || f.err.Code == api.CodeAmbiguous || f.err.Unknown
}

// settle is the error that ends the call. That a condition did not hold is the outcome of the write itself, whichever
// attempt it was, unless the call is fickle; any other refusal says nothing about an attempt before it whose outcome is unknown.
func (h *history) settle(q *call, err *api.Error) error {
	outcome := err.Code == api.CodePreconditionFailed && !q.fickle
	unknown := h.unknown || q.given && err.Code == api.CodeUnavailable
	if unknown && !outcome && err.Code != api.CodeAmbiguous {
		err = &api.Error{Code: api.CodeAmbiguous, Hint: "an attempt may have taken effect, and then:", Err: err}
	}
	err.Op, err.Key = q.op, q.key
	return err
}

// timeOver is the error of a call whose context has ended.
func (h *history) timeOver(ctx context.Context, q *call) error {
	e := &api.Error{Code: api.CodeUnavailable, Op: q.op, Key: q.key, Err: ctx.Err()}
	if h.unknown || q.given {
		e.Code = api.CodeAmbiguous
	}
	if h.attempts == 0 && h.held {
		e.Hint, e.RetryAfter = "not sent: the nodes have more to do than they can", heldRetryAfter
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
