package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// watched is a store whose changes can be watched.
type watched interface {
	store
	// watch opens watches of all keys, all at one member. Each calls seen for each change of a key, and failed if it ends before ctx. It
	// returns how many it could open, and the error of the first that it could not. They end with ctx.
	watch(ctx context.Context, n int, seen func(watcher int), failed func(error)) (opened int, err error)
}

const (
	watchEvents  = 100_000 // of a batch of puts, over all watchers
	watchMost    = 4_000   // puts of a batch
	watchProbes  = 20      // single puts
	watchOpeners = 32      // watches opened at once
	watchOpening = 3 * time.Minute
	watchAll     = time.Minute // bounds the time until the last watcher has all events
)

// watchers counts what watches deliver.
type watchers struct {
	all    []atomic.Int64 // of each watcher
	total  atomic.Int64
	target atomic.Int64
	done   chan struct{} // has an element when total has come to target
	broken chan error
}

func newWatchers(n int) *watchers {
	return &watchers{all: make([]atomic.Int64, n), done: make(chan struct{}, 1), broken: make(chan error, 1)}
}

func (w *watchers) seen(watcher int) {
	w.all[watcher].Add(1)
	if w.total.Add(1) == w.target.Load() {
		w.done <- struct{}{}
	}
}

func (w *watchers) failed(err error) {
	select {
	case w.broken <- err:
	default:
	}
}

// deliver puts so many keys, many at a time, and waits until n watchers have had every one.
func (w *watchers) deliver(ctx context.Context, s store, n, puts int) error {
	w.target.Store(w.total.Load() + int64(n)*int64(puts))
	if err := fill(ctx, s, keys[:puts]); err != nil {
		return err
	}
	t := time.NewTimer(watchAll)
	defer t.Stop()
	select {
	case <-w.done:
		return nil
	case err := <-w.broken:
		return fmt.Errorf("a watch has ended: %w", err)
	case <-t.C:
		return fmt.Errorf("after %v %d of %d events are missing", watchAll, w.target.Load()-w.total.Load(), n*puts)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watch measures the events that so many watchers of one member get: batches of puts, each of which waits until every watcher has all
// of the batch before. Then single puts, each timed until the last watcher has it; these times are P50 and P99.
func (b *run) watch(ctx context.Context, s *stage, p *replicated, clients, round int, members []*process, on watched) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wait(ctx, settle)
	w := newWatchers(clients)
	began := time.Now()
	n, missing := on.watch(ctx, clients, w.seen, w.failed)
	if n == 0 {
		return fmt.Errorf("no watch can be opened: %w", missing)
	}
	opening := time.Since(began)
	got, err := w.measure(ctx, on, n, b.options, members)
	if err := errors.Join(err, s.alive()); err != nil {
		return fmt.Errorf("%d watchers: %w", n, err)
	}
	if missing != nil {
		got.Failed, got.Failure = clients-n, missing.Error()
	}
	b.report.add(work{p.name, watchWork, clients}, round, got)
	fmt.Fprintf(os.Stderr, "round %d  %-18s %5d watchers %-9s %9.0f events/s  last p50 %8.3f ms  p99 %8.3f ms  %d opened in %.1f s\n",
		round+1, watchWork, clients, p.name, got.Rate, got.P50, got.P99, n, opening.Seconds())
	return nil
}

func (w *watchers) measure(ctx context.Context, s store, n int, o *options, members []*process) (sample, error) {
	batch := min(max(watchEvents/n, 1), watchMost)
	for end := time.Now().Add(o.warmUp); ; {
		if err := w.deliver(ctx, s, n, batch); err != nil {
			return sample{}, err
		}
		if !time.Now().Before(end) {
			break
		}
	}
	before, start, from := readCPU(members), time.Now(), w.total.Load()
	for time.Since(start) < o.window {
		if err := w.deliver(ctx, s, n, batch); err != nil {
			return sample{}, err
		}
	}
	took, used, events := time.Since(start), readCPU(members).since(before), float64(w.total.Load()-from)
	var last []time.Duration
	for range watchProbes {
		wait(ctx, 20*time.Millisecond)
		probe := time.Now()
		if err := w.deliver(ctx, s, n, 1); err != nil {
			return sample{}, err
		}
		last = append(last, time.Since(probe))
	}
	slices.Sort(last)
	return sample{
		Rate: events / took.Seconds(), P50: millis(quantile(last, 0.50)), P99: millis(quantile(last, 0.99)),
		ServerCPU: micros(used.servers) / events, ClientCPU: micros(used.client) / events,
	}, w.even(n)
}

// even is an error unless each of the n watchers that were opened has had as many events as the others.
func (w *watchers) even(n int) error {
	each := w.total.Load() / int64(n)
	for i := range w.all {
		if got := w.all[i].Load(); got != each && got != 0 {
			return fmt.Errorf("watcher %d has had %d events, not %d", i, got, each)
		}
	}
	return nil
}

// openWatches calls open for the numbers below n, several at a time, until one fails or it takes too long. It returns how many calls
// succeeded.
func openWatches(ctx context.Context, n int, open func(ctx context.Context, watcher int) error) (opened int, err error) {
	var next, done atomic.Int64
	var mu sync.Mutex
	late, openers := time.Now().Add(watchOpening), sync.WaitGroup{}
	for range min(watchOpeners, n) {
		openers.Go(func() {
			for {
				mu.Lock()
				if err == nil && time.Now().After(late) {
					err = fmt.Errorf("%d watches were open after %v", done.Load(), watchOpening)
				}
				over := err != nil
				mu.Unlock()
				i := int(next.Add(1)) - 1
				if over || i >= n {
					return
				}
				if e := open(ctx, i); e == nil {
					done.Add(1)
				} else {
					mu.Lock()
					err = errors.Join(err, e)
					mu.Unlock()
				}
			}
		})
	}
	openers.Wait()
	return int(done.Load()), err
}
