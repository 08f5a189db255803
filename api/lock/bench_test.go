package lock

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api/storetest"
)

// BenchmarkLock takes a lock and gives it back, over a store in memory: alone, and handed over among 100 clients that wait.
func BenchmarkLock(b *testing.B) {
	for _, clients := range []int{1, 100} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			m := storetest.NewMemory()
			s := New(Config{Store: m, Watcher: m})
			defer func() { _ = s.Close() }()
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			b.ResetTimer()
			for i := range clients {
				id := IDOf("", fmt.Sprint(i)) // the store in memory forgets no key
				all.Go(func() {
					for left.Add(-1) >= 0 {
						h, err := s.Acquire(b.Context(), &Request{Name: "l", TTL: time.Hour, Wait: time.Hour, ID: id})
						if err != nil {
							b.Error(err)
							return
						}
						if _, err := s.Release(b.Context(), "l", h.ID, h.Fence); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tenures/s")
		})
	}
}
