package lock

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// counted is a store in memory that counts the requests it gets and the events that its watches deliver.
type counted struct {
	*storetest.Memory
	calls, watches, events atomic.Int64
}

func (c *counted) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	c.calls.Add(1)
	return c.Memory.Do(ctx, t)
}

func (c *counted) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	c.calls.Add(1)
	return c.Memory.Read(ctx, r, out)
}

func (c *counted) Watch(ctx context.Context, r *api.WatchRequest) (api.WatchStream, error) {
	c.watches.Add(1)
	s, err := c.Memory.Watch(ctx, r)
	return countedStream{s, c}, err
}

type countedStream struct {
	api.WatchStream
	c *counted
}

func (s countedStream) Next() (*api.WatchBatch, error) {
	b, err := s.WatchStream.Next()
	if err == nil {
		s.c.events.Add(int64(len(b.Events)))
	}
	return b, err
}

// BenchmarkRelease passes a lock on while others wait for it at one node. calls/release are the transactions and reads from a release
// until the next waiter holds the lock, events/release what the watch of the node receives. Neither may grow with the number of waiters.
//
//	go test ./api/lock -run '^$' -bench Release -benchtime 1000x
func BenchmarkRelease(b *testing.B) {
	for _, waiters := range []int{1, 10, 100, 900} {
		b.Run(fmt.Sprintf("waiters=%d", waiters), func(b *testing.B) { benchRelease(b, waiters) })
	}
}

func benchRelease(b *testing.B, waiters int) {
	c := &counted{Memory: storetest.NewMemory()}
	s := New(Config{Store: c, Watcher: c})
	b.Cleanup(func() { _ = s.Close() })
	request := Request{Name: "l", TTL: time.Hour, Wait: time.Hour}
	held := make(chan *Held, 1)
	ask := func() {
		ctx, cancel := context.WithCancel(b.Context())
		waiting := make(chan struct{}, 1)
		r := request
		r.Waiting = func() { waiting <- struct{}{} }
		go func() {
			defer cancel()
			h, err := s.Acquire(ctx, &r)
			if err != nil && b.Context().Err() == nil {
				b.Error(err)
			}
			held <- h
		}()
		select {
		case <-waiting:
		case <-time.After(time.Minute):
			b.Fatal("a request does not wait")
		}
	}
	first, err := s.Acquire(b.Context(), &request)
	if err != nil {
		b.Fatal(err)
	}
	for range waiters {
		ask()
	}
	var calls, events int64
	for b.Loop() {
		b.StopTimer()
		c0, e0 := c.calls.Load(), c.events.Load()
		b.StartTimer()
		if _, err := s.Release(b.Context(), "l", first.ID, first.Fence); err != nil {
			b.Fatal(err)
		}
		first = <-held
		b.StopTimer()
		calls, events = calls+c.calls.Load()-c0, events+c.events.Load()-e0
		ask()
		b.StartTimer()
	}
	b.ReportMetric(float64(calls)/float64(b.N), "calls/release")
	b.ReportMetric(float64(events)/float64(b.N), "events/release")
	b.ReportMetric(float64(c.watches.Load()), "watches")
}
