package integration

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api/client"
)

// BenchmarkLock is how often a second one lock is taken and released, by the SDK at one server of three, with the log on the disks of a
// majority: by one client alone, and while 100 clients wait for it, each of which asks again when it has had it. writes/lock is
// how often the servers' group wrote for each.
//
//	go test ./integration -run '^$' -bench 'Lock$' -benchtime 1x
func BenchmarkLock(b *testing.B) {
	urls := benchServers(b)
	c := benchClient(b, urls[0])
	for _, waiters := range []int{0, 1, 10, 100} {
		b.Run(fmt.Sprintf("waiters=%d", waiters), func(b *testing.B) { benchLock(b, c, urls, waiters) })
	}
}

func benchLock(b *testing.B, c *client.Client, urls []string, waiters int) {
	const warmUp, window = time.Second, 5 * time.Second
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	name := fmt.Sprintf("here/lock-%d-%d", waiters, b.N)
	var count, inside atomic.Int64
	var stop atomic.Bool
	var clients sync.WaitGroup
	for range waiters + 1 {
		clients.Go(func() {
			for !stop.Load() {
				l, err := c.Lock(ctx, name, time.Minute)
				if err != nil {
					b.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					b.Error("two clients hold the lock")
				}
				count.Add(1)
				inside.Add(-1)
				if err := l.Unlock(ctx); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	time.Sleep(warmUp)
	writes := func() float64 { return scrape(b, urls).sum("edgehold_region_commit_seconds_count") }
	from, wrote, began := count.Load(), writes(), time.Now()
	time.Sleep(window)
	n, took := float64(count.Load()-from), time.Since(began)
	wrote = writes() - wrote
	stop.Store(true)
	clients.Wait()
	b.ReportMetric(n/took.Seconds(), "locks/s")
	b.ReportMetric(wrote/n, "writes/lock")
	b.ReportMetric(0, "ns/op")
}
