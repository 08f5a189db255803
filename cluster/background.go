package cluster

import (
	"context"
	"sync"
	"time"
)

// background is tasks that go on until it is closed, which ends their ctx and waits for them.
type background struct {
	sync.WaitGroup
	ctx    context.Context
	cancel context.CancelFunc
}

func newBackground() *background {
	b := &background{}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// every has f carried out now, and again after each period and each change, until the end.
func (b *background) every(period time.Duration, changed func() <-chan struct{}, f func()) {
	b.Go(func() {
		t := time.NewTicker(period)
		defer t.Stop()
		for b.ctx.Err() == nil {
			change := changed()
			f()
			select {
			case <-b.ctx.Done():
			case <-change:
			case <-t.C:
			}
		}
	})
}

// never is a change that does not come.
func never() <-chan struct{} { return nil }

func (b *background) close() {
	b.cancel()
	b.Wait()
}
