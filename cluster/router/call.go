package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// call is one request on its way, over all its attempts. It belongs to one goroutine.
type call struct {
	op string
	// again reports whether another attempt may follow one whose outcome is unknown.
	again bool
	// load reports whether the request is one of many that clients send. Such a request gives way if the group's leader
	// cannot keep up.
	load bool
	// timeout bounds one attempt. 0 means that the attempt may take the caller's whole time.
	timeout time.Duration
	// send carries out one attempt at a node.
	send func(ctx context.Context, node api.NodeID) error
	// age is the age of a read, over all its attempts.
	age uint64
	// asOf is an instant that a replica's answer is no older than. It is zero if the leader has answered.
	asOf time.Time

	unknown bool  // an attempt's outcome is unknown
	pauses  int   // how often it has waited
	last    error // of the newest attempt
}

func (r *Router) call(op string, again bool) *call { return &call{op: op, again: again} }

// verdict is what an attempt's error means for the next attempt.
type verdict uint8

const (
	final     verdict = iota // done, or an error that no other node would change
	elsewhere                // another node may succeed
	later                    // this node says that it will be able to soon
	unsure                   // the outcome is unknown
)

func judge(err error) verdict {
	switch e := api.AsError(err); e.Code {
	case api.CodeNotLeader:
		return elsewhere
	case api.CodeUnavailable:
		if e.RetryAfter > 0 {
			return later
		}
		return elsewhere
	case api.CodeAmbiguous:
		return unsure
	case api.CodeInternal:
		// A bare context error does not say what happened to the request.
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return unsure
		}
	}
	return final
}

// toGroup sends c to the group's leader, on whichever node that is. It returns nil when c is done, CodeWrongGroup if
// the group is not the owner, any other answer of the leader, or, when the time is up, what is certain by then.
func (r *Router) toGroup(ctx context.Context, c *call, g api.GroupID) (err error) {
	if c.load && !c.unknown {
		place, full := r.limits.enter(g)
		if full != nil {
			return full
		}
		defer func() { r.limits.leave(g, place, err == nil) }()
	}
	w := r.candidates(g)
	for {
		if ctx.Err() != nil {
			return c.timeUp(ctx)
		}
		node, ok := w.next()
		if !ok { // no node is left to ask, or none is known
			if w.size() == 0 {
				_ = r.cfg.Refresh(ctx) // the next round shows the result
			}
			if err := r.pause(ctx, c, 0); err != nil {
				return err
			}
			w.begin()
			continue
		}
		if c.last != nil {
			if ctx = admission.WithBudget(ctx); admission.Retry(ctx) != nil {
				return c.timeUp(ctx)
			}
		}
		asked := time.Now()
		err := r.attempt(ctx, c, g, node)
		r.metrics.attempts(1, c.op, string(api.CodeOf(err)))
		if err == nil {
			r.flows.count(g, c.op, time.Since(asked))
			if c.asOf.IsZero() { // a replica's answer says nothing about the leader
				r.hints.answered(g, node)
			}
			return nil
		}
		c.last = err
		verdict := judge(err)
		c.unknown = c.unknown || verdict == unsure
		switch {
		case verdict == final, verdict == unsure && !c.again:
			return err
		case ctx.Err() != nil: // the caller's own deadline says nothing about the node
			return c.timeUp(ctx)
		}
		switch verdict {
		case unsure:
			w.failed(node)
		case elsewhere:
			w.refused(node, api.AsError(err))
		case later:
			if c.load {
				r.limits.refused(g, asked)
			}
			if err := r.bePatient(ctx, c, err); err != nil {
				return err
			}
			w.busy(node)
		}
	}
}

// attempt sends c to one node. An attempt that may be repeated ends early if another node is known to lead.
func (r *Router) attempt(ctx context.Context, c *call, g api.GroupID, node api.NodeID) error {
	if !c.again {
		return c.send(ctx, node)
	}
	var cancel context.CancelFunc
	if c.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	defer cancel()
	w := watch{node: node, cancel: cancel}
	r.hints.watch(g, &w)
	defer r.hints.unwatch(g, &w)
	return c.send(ctx, node)
}

// bePatient waits as a node has asked with err. If too many requests wait already, err ends c.
func (r *Router) bePatient(ctx context.Context, c *call, err error) error {
	defer r.paused.Add(-1)
	if r.paused.Add(1) > int64(r.cfg.MaxPaused) {
		return err
	}
	return r.pause(ctx, c, api.AsError(err).RetryAfter)
}

// pause waits before another round: at least as long as the node asked for, longer with each pause, and jittered. Its
// error ends c.
func (r *Router) pause(ctx context.Context, c *call, atLeast time.Duration) error {
	d := min(r.cfg.MinBackoff<<min(c.pauses, 10), r.cfg.MaxBackoff)
	c.pauses++
	d = atLeast + d/2 + time.Duration(r.cfg.Rand()*float64(d/2))
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d && atLeast > 0 {
		return c.timeUp(ctx) // the wait would outlast the deadline
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return c.timeUp(ctx)
	}
}

// timeUp returns the error if no time is left for another attempt.
func (c *call) timeUp(ctx context.Context) error {
	if c.unknown {
		return c.ambiguous(c.last)
	}
	why := "the time was up"
	if ctx.Err() == nil {
		why = "the request was tried too often"
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		why = "the request was cancelled"
	}
	e := &api.Error{Code: api.CodeUnavailable, Op: c.op, Hint: why + " before the owner of the keys could be reached", Err: c.last}
	if c.last != nil {
		last := api.AsError(c.last)
		e.RetryAfter = last.RetryAfter
		e.Hint = fmt.Sprintf("%s; the last attempt said %s: %s", why, last.Code, last.Hint)
	}
	return e
}

// end returns c's last error as the caller receives it. Once an attempt's outcome is unknown, the error of a later
// attempt proves nothing about it.
func (c *call) end(err error) error {
	if err == nil {
		return nil
	}
	if c.unknown {
		return c.ambiguous(err)
	}
	switch e := api.AsError(err); e.Code {
	case api.CodeNotLeader, api.CodeWrongGroup:
		return &api.Error{Code: api.CodeUnavailable, Op: c.op, Hint: "the owner of the keys was not found", Err: err}
	case fsm.DeciderLost, words.Crowded, words.Exhausted:
		return &api.Error{Code: api.CodeUnavailable, Op: c.op, Key: e.Key, Hint: e.Hint, RetryAfter: e.RetryAfter, Err: err}
	}
	return err
}

func (c *call) ambiguous(err error) error {
	if e := api.AsError(err); e != nil && e.Code == api.CodeAmbiguous {
		return err
	}
	return &api.Error{Code: api.CodeAmbiguous, Op: c.op, Err: err,
		Hint: "it is unknown whether this was applied; repeat it with the same idempotency key, or read before you repeat it"}
}
