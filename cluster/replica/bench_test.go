package replica

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// inParallel does b.N operations from some clients and returns how long each took.
func inParallel(b *testing.B, clients int, op func() error) []time.Duration {
	var next atomic.Int64
	all := make([]time.Duration, b.N)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				start := time.Now()
				if err := op(); err != nil {
					b.Error(err)
					return
				}
				all[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	return all
}

func report(b *testing.B, latencies []time.Duration) {
	slices.Sort(latencies)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds())/1000, "p99-ms")
}
