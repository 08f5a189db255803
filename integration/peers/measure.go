package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// operation is one operation of a worker; r is that worker's own.
type operation func(ctx context.Context, worker int, r *rand.Rand) error

// load is one measurement to be made: a closed loop in which each of so many clients does one operation after the other.
type load struct {
	clients int
	warmUp  time.Duration
	window  time.Duration
	do      operation
	members []*process // whose CPU is measured
	during  func()     // called when the window opens, in a goroutine that is waited for; nil: nothing
}

// sample is what one measurement gave.
type sample struct {
	Rate      float64 `json:"ops_per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	ServerCPU float64 `json:"server_cpu_us_per_op"` // 0 if the system does not report it
	ClientCPU float64 `json:"client_cpu_us_per_op"`
	Failed    int     `json:"failed_ops,omitempty"`
	Failure   string  `json:"first_failure,omitempty"`
}

// operationTimeout bounds one operation.
const operationTimeout = 20 * time.Second

// afterFailure is the pause of a worker whose operation failed: a member that is gone shall not make it spin.
const afterFailure = 5 * time.Millisecond

// run makes the measurement. An operation counts if it succeeded and ended within the window.
func (l *load) run(ctx context.Context) (sample, error) {
	var (
		open, shut atomic.Bool
		workers    sync.WaitGroup
		failures   = failures{open: &open}
		all        = make([][]time.Duration, l.clients)
	)
	for i := range l.clients {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 0x9e3779b97f4a7c15))
			for !shut.Load() && ctx.Err() == nil {
				d, err := l.one(ctx, i, r)
				switch {
				case err != nil:
					failures.add(err)
					time.Sleep(afterFailure)
				case open.Load() && !shut.Load():
					all[i] = append(all[i], d)
				}
			}
		})
	}
	wait(ctx, l.warmUp)
	if l.during != nil {
		workers.Go(l.during)
	}
	before, start := readCPU(l.members), time.Now()
	open.Store(true)
	wait(ctx, l.window)
	shut.Store(true)
	took, used := time.Since(start), readCPU(l.members).since(before)
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return sample{}, err
	}
	return summarize(slices.Concat(all...), took, used, &failures)
}

func (l *load) one(ctx context.Context, worker int, r *rand.Rand) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	start := time.Now()
	err := l.do(ctx, worker, r)
	return time.Since(start), err
}

// summarize makes the sample.
func summarize(took []time.Duration, window time.Duration, used cpu, f *failures) (sample, error) {
	if len(took) == 0 {
		return sample{}, errors.Join(errors.New("no operation succeeded"), f.first)
	}
	slices.Sort(took)
	n := float64(len(took))
	s := sample{
		Rate: n / window.Seconds(), P50: millis(quantile(took, 0.50)), P99: millis(quantile(took, 0.99)),
		ServerCPU: micros(used.servers) / n, ClientCPU: micros(used.client) / n, Failed: f.count,
	}
	if f.first != nil {
		s.Failure = f.first.Error()
	}
	return s, nil
}

// quantile of sorted values: the smallest that at least a share q does not exceed.
func quantile[T any](sorted []T, q float64) T {
	i := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// failures counts the operations that failed while the window was open.
type failures struct {
	open  *atomic.Bool
	mu    sync.Mutex
	count int
	first error
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open.Load() {
		f.count++
	}
	if f.first == nil {
		f.first = err
	}
}

// wait waits for d, or for the end of ctx.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
