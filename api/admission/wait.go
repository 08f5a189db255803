package admission

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

const (
	// MaxWait is how long a refused request may wait to be let in after all; see [Room.Wait].
	MaxWait = 3 * time.Second
	// MaxWaiters bounds the requests of a Room that wait so.
	MaxWaiters = 16384

	tryEvery = 250 * time.Millisecond
)

// Wait has a request that enter has refused wait until enter lets it in, and returns what enter returned last. The wait ends after
// [MaxWait], or after half of the time that ctx has left if that is less. So a client that repeats a refused request at once costs
// the node one request in three seconds, and one of many that come at once is served. Wait returns refusal at once if [MaxWaiters] others
// wait, and as soon as ctx ends or stop is closed. A request that waits takes no place of any class.
func (r *Room) Wait(ctx context.Context, stop <-chan struct{}, refusal *api.Error, enter func() (*Ticket, *api.Error)) (*Ticket, *api.Error) {
	defer r.waiters.Add(-1)
	if r.waiters.Add(1) > MaxWaiters {
		return nil, refusal
	}
	left := MaxWait
	if until, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(until)/2)
	}
	timer := time.NewTimer(min(left, tryEvery))
	defer timer.Stop()
	for left > 0 {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, refusal
		case <-stop:
			return nil, refusal
		}
		place, err := enter()
		if err == nil {
			return place, nil
		}
		refusal = err
		left -= tryEvery
		timer.Reset(min(left, tryEvery))
	}
	return nil, refusal
}
