package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// fillers is how many clients fill a store.
const fillers = 64

// fill writes the keys once.
func fill(ctx context.Context, s store, keys []string) error {
	value := newValue(rand.New(rand.NewPCG(3, 4)))
	return forEach(ctx, keys, func(ctx context.Context, worker int, key string) error {
		return s.put(ctx, worker, key, value)
	})
}

// forEach does something for each key, many at a time, until one fails.
func forEach(ctx context.Context, keys []string, do func(ctx context.Context, worker int, key string) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for w := range fillers {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(keys) {
					return
				}
				if err := do(ctx, w, keys[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}
