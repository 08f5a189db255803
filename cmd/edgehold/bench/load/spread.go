package load

import (
	"context"
	"iter"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// Spread distributes the keys over workers, which call do in parallel. The first error, from do or from keys, ends it. Spread returns
// that error when all workers are idle.
func Spread(ctx context.Context, workers int, keys iter.Seq2[api.Key, error], do func(ctx context.Context, worker int, k api.Key) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	queue := make(chan api.Key)
	var busy sync.WaitGroup
	for w := range workers {
		busy.Go(func() {
			for k := range queue {
				if err := do(ctx, w, k); err != nil {
					stop(err)
				}
			}
		})
	}
	for k, err := range keys {
		if err != nil {
			stop(err)
		}
		if ctx.Err() != nil || !offer(ctx, queue, k) {
			break
		}
	}
	close(queue)
	busy.Wait()
	return context.Cause(ctx)
}

// offer sends k to a worker. It returns false if ctx ends first.
func offer(ctx context.Context, queue chan<- api.Key, k api.Key) bool {
	select {
	case queue <- k:
		return true
	case <-ctx.Done():
		return false
	}
}
