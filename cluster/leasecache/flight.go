package leasecache

import (
	"context"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe/trace"
)

// flights holds the reads of one key each that are on their way with a request for a lease. The shard's mutex guards
// it.
type flights struct {
	byKey map[api.Key]*flight
	last  uint64
}

// flight is one such read. It runs in a goroutine of its own, for all callers that wait for it. It ends when it has its
// answer, or when the last caller has given up. Its result is set before done is closed.
type flight struct {
	number uint64
	done   chan struct{}
	res    *api.ReadResult
	err    error

	waiting int // callers; guarded by the shard's mutex
	cancel  context.CancelFunc
}

func newFlights() flights { return flights{byKey: make(map[api.Key]*flight)} }

// share reads one key with a request for a lease, together with other readers of the key. A flight may answer only
// readers that arrived before it was sent, since the state that it returns may be from any moment after that. So a
// reader that finds a flight on its way waits for it: the lease that the flight brings will most often answer the read.
// If it does not, the reader shares the next flight, which starts after the reader arrived, or starts that flight
// itself.
func (c *Cache) share(ctx context.Context, k api.Key, found *entry, s *session) (*api.ReadResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, readError(err)
	}
	hash := c.entries.hasher.hash(k)
	sh := c.entries.shard(hash)
	sh.mu.Lock()
	arrived := sh.flights.last
	for {
		f := sh.flights.byKey[k]
		if f == nil {
			f = c.takeOff(ctx, sh, k, found, s)
		}
		f.waiting++
		sh.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			sh.leave(k, f)
			return nil, readError(ctx.Err())
		}
		if f.number > arrived {
			return f.res, f.err
		}
		if res := c.getOne(hash, k); res != nil {
			return res, nil
		}
		sh.mu.Lock()
	}
}

// takeOff starts a flight. The caller holds the shard's mutex and waits for the flight. of is the request that starts it, in whose trace
// the flight is; the flight may outlive it.
func (c *Cache) takeOff(of context.Context, sh *shard, k api.Key, found *entry, s *session) *flight {
	k = api.Key(strings.Clone(string(k))) // the flight may outlive the request
	ctx, cancel := context.WithTimeout(trace.Carry(c.ctx, of), api.MaxTimeout)
	sh.flights.last++
	f := &flight{number: sh.flights.last, done: make(chan struct{}), cancel: cancel}
	land := func() {
		cancel()
		sh.mu.Lock()
		if sh.flights.byKey[k] == f {
			delete(sh.flights.byKey, k)
		}
		sh.mu.Unlock()
		close(f.done)
	}
	fly := func() {
		defer land()
		defer c.cfg.Faults.Catch("read", &f.err)
		f.res, f.err = c.send(ctx, &api.ReadRequest{Keys: []api.Key{k}}, []*entry{found}, &ask{session: s, at: []int{0}})
	}
	sh.flights.byKey[k] = f
	if !c.goAhead(fly) {
		f.err = errClosed("read")
		delete(sh.flights.byKey, k)
		cancel()
		close(f.done)
	}
	return f
}

// leave notes that a caller no longer waits for the flight. If it was the last one, leave ends the flight, and later
// readers do not find it.
func (s *shard) leave(k api.Key, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.waiting--; f.waiting > 0 {
		return
	}
	if s.flights.byKey[k] == f {
		delete(s.flights.byKey, k)
	}
	f.cancel()
}

// getOne serves a key by its lease, or returns nil.
func (c *Cache) getOne(hash uint64, k api.Key) *api.ReadResult {
	en := c.entries.get(hash, k)
	now := c.cfg.Clock.Now()
	if en == nil || !en.servable(now) {
		return nil
	}
	en.touch()
	res := &api.ReadResult{Entries: make([]api.Entry, 1), ServedBy: api.ServedByLease, Group: en.session.group.id, Snapshot: true}
	en.answer(k, now, &res.Entries[0])
	c.meter.served(keysServed{leased: 1})
	return res
}
