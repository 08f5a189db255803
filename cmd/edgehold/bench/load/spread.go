package load

import (
	"context"
	"iter"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// Spread gives each key to one of so many workers, which carry out do at the same time. The first error, of do or among
// the keys, ends it, and is returned when all workers are idle.
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

// offer is false where ctx ended before somebody took k.
func offer(ctx context.Context, queue chan<- api.Key, k api.Key) bool {
	select {
	case queue <- k:
		return true
	case <-ctx.Done():
		return false
	}
}
