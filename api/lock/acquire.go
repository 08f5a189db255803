package lock

import (
	"cmp"
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
)

const (
	// leaveTimeout bounds the deletion of an entry that is given up. One that stays lives for its ttl at most.
	leaveTimeout = 5 * time.Second
	// graceMost bounds how long an entry stays whose client has gone, if the client may repeat its request elsewhere.
	graceMost = time.Second
	// retryPause is the pause before a transaction that failed is tried again, retryPauseMost what it grows to while a request waits.
	retryPause     = 50 * time.Millisecond
	retryPauseMost = time.Second
)

// Acquire asks for a lock, and waits for it as long as r says. It returns once the lock is held. The caller holds it from when it
// sent the request until 0.98 of the ttl later, by its own clock; if more than half of the ttl has passed by then, it renews it once
// before it takes it for held.
//
// CodeConflict means that the lock was not given in time; the hint names the holder, and the entry is deleted. CodeUnavailable means
// that the store does not answer, that too many wait, or that ctx has ended; CodeAmbiguous that this is so after the entry may have
// been put, which then holds a place for a ttl at most.
func (s *Service) Acquire(ctx context.Context, r *Request) (*Held, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	a := &acquisition{service: s, request: r, entry: entry{
		store: s.cfg.Store, name: r.Name, id: cmp.Or(r.ID, random()), owner: r.Owner, ttl: r.TTL, repeats: r.ID != "", nonce: random(),
	}}
	all, whole, err := a.enter(ctx)
	switch {
	case err != nil:
		return nil, err
	case a.first(all, whole):
		return a.held(), nil
	case !whole && !a.second:
		a.leaveNow()
		e := api.Errorf(api.CodeUnavailable, "%d requests wait for the lock, the limit", MaxContenders)
		e.RetryAfter = time.Second
		return nil, e
	case r.Wait == 0:
		return nil, a.refused(ctx, all)
	}
	return a.await(ctx)
}

// acquisition is one request for a lock that is under way.
type acquisition struct {
	entry
	service *Service
	request *Request
	tries   context.Context // of the request, with what it may draw on to put its entry again; nil: it never had to
	failed  int             // how often that has failed in a row
}

func (a *acquisition) held() *Held { return held(a.id, a.version, a.ttl) }

// enter is that of the entry, and tries again while the outcome is unknown or the store does not answer.
func (a *acquisition) enter(ctx context.Context) (all []place, whole bool, err error) {
	unknown := false
	for {
		all, whole, err = a.entry.enter(ctx)
		if err == nil {
			return all, whole, nil
		}
		code := api.CodeOf(err)
		unknown = unknown || code == api.CodeAmbiguous || code == api.CodeInternal
		if code != api.CodeAmbiguous && code != api.CodeUnavailable {
			return nil, false, err
		}
		if wait(ctx, retryPause); ctx.Err() != nil {
			if unknown && code != api.CodeAmbiguous {
				err = &api.Error{Code: api.CodeAmbiguous, Op: "lock", Key: api.Key(a.name), Hint: "a place may have been taken, and then:", Err: err}
			}
			return nil, false, err
		}
	}
}

// refused gives the entry up and returns the error that names the holder.
func (a *acquisition) refused(ctx context.Context, all []place) error {
	e := &api.Error{Code: api.CodeConflict, Op: "lock", Key: api.Key(a.name), Hint: "the lock is held"}
	if len(all) > 0 && all[0].id != a.id {
		owner := all[0].owner
		if owner == "" {
			if now, err := a.service.read(ctx, Key(a.name, all[0].id)); err == nil {
				owner, _ = parseValue(now.Value)
			}
		}
		if owner != "" {
			e.Hint += " by " + owner
		}
	}
	a.leaveNow()
	return e
}

// leaveNow deletes the entry. If that fails, it ends by its ttl.
func (a *acquisition) leaveNow() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.service.ctx), leaveTimeout)
	defer cancel()
	for a.leave(ctx) != nil && ctx.Err() == nil {
		wait(ctx, retryPause)
	}
}

// leaveLater deletes the entry of a client that has gone: after a moment, if the client may repeat its request through another node.
func (a *acquisition) leaveLater() {
	a.service.start(func() {
		if a.repeats {
			if wait(a.service.ctx, min(graceMost, a.ttl/3)); a.service.ctx.Err() != nil {
				return // the client goes on at another node
			}
		}
		a.leaveNow()
	})
}

// await waits until the entry is the first, and keeps it alive meanwhile.
func (a *acquisition) await(ctx context.Context) (*Held, error) {
	w := newWaiter(a.id, a.version)
	d, err := a.service.join(a.name, w)
	if err != nil {
		a.leaveNow()
		return nil, err
	}
	defer a.service.part(d, w)
	if a.request.Waiting != nil {
		a.request.Waiting()
	}
	end := time.NewTimer(a.request.Wait)
	defer end.Stop()
	tick := time.NewTimer(a.pace(d, w))
	defer tick.Stop()
	for {
		var first bool
		var err error
		select {
		case <-ctx.Done():
			a.leaveLater()
			return nil, &api.Error{Code: api.CodeUnavailable, Op: "lock", Key: api.Key(a.name), Err: ctx.Err()}
		case <-a.service.ctx.Done():
			return nil, &api.Error{Code: api.CodeUnavailable, Op: "lock", Key: api.Key(a.name), Hint: "this node closes"}
		case <-end.C:
			var all []place
			if holder, known := d.holder(); known {
				all = []place{holder}
			}
			return nil, a.refused(ctx, all)
		case <-w.wake:
			var gone, live bool
			if first, gone, live = d.state(w); gone {
				first, err = a.again(ctx, d, w)
			}
			if !live { // the store is asked sooner than the next touch was due
				tick.Reset(a.pace(d, w))
			}
		case <-tick.C:
			first, err = a.keepAlive(ctx, d, w)
			tick.Reset(a.pace(d, w))
		}
		switch {
		case err != nil:
			a.leaveLater()
			return nil, err
		case first:
			return a.held(), nil
		}
	}
}

// pace is how long to wait before the entry is touched again: a third of its ttl. While the watch is broken, the store is asked more often.
func (a *acquisition) pace(d *directory, w *waiter) time.Duration {
	if _, _, live := d.state(w); !live {
		return min(a.ttl/3, 500*time.Millisecond)
	}
	return a.ttl / 3
}

// keepAlive touches the entry, and reports whether it is known to be the first.
func (a *acquisition) keepAlive(ctx context.Context, d *directory, w *waiter) (first bool, err error) {
	touch, cancel := context.WithTimeout(ctx, min(a.ttl, api.DefaultTimeout))
	defer cancel()
	_, _, live := d.state(w)
	there, all, whole, err := a.keep(touch, !live)
	switch {
	case err != nil: // the next touch may do
		return false, nil
	case !there:
		return a.again(ctx, d, w)
	}
	return a.first(all, whole), nil
}

// again puts the entry once more, since it has gone, at the end of the queue. It reports whether it is the first now. If the store does not
// answer, it pauses, longer each time, and has the waiter try again; an error is one that another try does not mend, or the refusal of
// [admission.MaxTries] tries.
func (a *acquisition) again(ctx context.Context, d *directory, w *waiter) (first bool, err error) {
	if a.tries == nil {
		a.tries = admission.WithBudget(ctx)
	}
	put, cancel := context.WithTimeout(a.tries, min(a.ttl, api.DefaultTimeout))
	defer cancel()
	all, whole, err := a.entry.enter(put)
	if err == nil {
		a.failed = 0
		d.moved(w, a.version)
		return a.first(all, whole), nil
	}
	if code := api.CodeOf(err); code != api.CodeAmbiguous && code != api.CodeUnavailable {
		return false, err
	}
	if err := admission.Retry(put); err != nil {
		return false, err
	}
	a.failed++
	pause, stop := context.WithTimeout(ctx, min(retryPause<<min(a.failed-1, 10), retryPauseMost))
	defer stop()
	select {
	case <-pause.Done():
	case <-a.service.ctx.Done():
	}
	w.rouse() // until it is done
	return false, nil
}
