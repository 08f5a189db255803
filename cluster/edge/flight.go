package edge

import (
	"context"

	"github.com/edgehold/edgehold/api"
)

// flights are the reads of one key each that are on their way with a wish for a lease. Guarded by the shard's mutex.
type flights struct {
	byKey map[api.Key]*flight
	last  uint64
}

// flight is one such read. Its result is set before done is closed.
type flight struct {
	number uint64
	done   chan struct{}
	res    *api.ReadResult
	err    error
	// deserted: the reader that flew it gave up, which says nothing to others.
	deserted bool
}

func newFlights() flights { return flights{byKey: make(map[api.Key]*flight)} }

// share reads one key with a wish, together with other readers of it. A flight may answer only readers that arrived
// before it was sent: the state it returns may be from any moment since. So a reader that finds a flight on its way
// waits for it, because the lease that it brings will most often answer; if not, it shares the next flight, which starts
// after it arrived, or flies it.
func (e *Edge) share(ctx context.Context, r *api.ReadRequest, found []*entry, now api.ClockSample, a *ask) (*api.ReadResult, error) {
	key := r.Keys[a.at[0]]
	hash := e.cache.hasher.hash(key)
	sh := e.cache.shard(hash)
	sh.mu.Lock()
	arrived := sh.flights.last
	for {
		f := sh.flights.byKey[key]
		if f == nil {
			return e.fly(ctx, r, found, now, a, sh)
		}
		sh.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, readError(ctx.Err())
		}
		if f.number > arrived && !f.deserted {
			return f.res, f.err
		}
		if res := e.getOne(hash, key); res != nil {
			return res, nil
		}
		sh.mu.Lock()
	}
}

// fly sends the read and lets others share it. It is called with the shard's mutex held, and releases it.
func (e *Edge) fly(ctx context.Context, r *api.ReadRequest, found []*entry, now api.ClockSample, a *ask, sh *shard) (*api.ReadResult, error) {
	key := r.Keys[a.at[0]]
	sh.flights.last++
	f := &flight{number: sh.flights.last, done: make(chan struct{})}
	sh.flights.byKey[key] = f
	sh.mu.Unlock()
	f.deserted = true // also where the Store panics
	defer func() {
		sh.mu.Lock()
		delete(sh.flights.byKey, key)
		sh.mu.Unlock()
		close(f.done)
	}()
	f.res, f.err = e.send(ctx, r, found, now, a)
	f.deserted = f.err != nil && ctx.Err() != nil
	return f.res, f.err
}

// getOne serves a key by its lease, or returns nil.
func (e *Edge) getOne(hash uint64, k api.Key) *api.ReadResult {
	en := e.cache.get(hash, k)
	if en == nil || !en.servable(e.cfg.Clock.Now()) {
		return nil
	}
	en.touch()
	res := &api.ReadResult{Entries: make([]api.Entry, 1), ServedBy: api.ServedByLease, Group: en.session.group.id, Snapshot: true}
	en.answer(k, &res.Entries[0])
	e.meter.served(tallied{leased: 1})
	return res
}
