package cluster

import (
	"context"
	"sync"
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

func (b *background) close() {
	b.cancel()
	b.Wait()
}
