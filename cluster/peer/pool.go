package peer

import (
	"context"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Pool is this node's way to the others: one connection each, dialled when it is first needed and again when it has
// broken. Safe for concurrent use.
type Pool struct {
	cfg    PoolConfig
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	remotes map[target]*Remote
}

// target is a node or, while its id is not known, an address.
type target struct {
	node    api.NodeID
	address string
}

// NewPool makes a pool. It dials no node before the first call.
func NewPool(cfg PoolConfig) (*Pool, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	p := &Pool{cfg: cfg, remotes: map[target]*Remote{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// Close ends all calls and streams of the pool and waits for what it had started.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	remotes := p.remotes
	p.remotes = map[target]*Remote{}
	p.mu.Unlock()
	p.cancel()
	for _, r := range remotes {
		r.close()
	}
	p.wg.Wait()
}

// Remote is the node; its methods reach this node itself without a socket. It does not block.
func (p *Pool) Remote(node api.NodeID) *Remote { return p.remote(target{node: node}) }

// RemoteAt is the node at an address, whichever that is. It does not block.
func (p *Pool) RemoteAt(address string) *Remote { return p.remote(target{address: address}) }

func (p *Pool) remote(t target) *Remote {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.remotes[t]
	if r == nil {
		r = &Remote{pool: p, target: t, self: t.node == p.cfg.Server.cfg.Self}
		if !p.closed {
			p.remotes[t] = r
		} else {
			r.close()
		}
	}
	return r
}

// start runs f in a goroutine that Close waits for; false after Close.
func (p *Pool) start(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.wg.Go(f)
	return true
}

// retireAfter is how long what is under way on a connection has to end when another takes its place: longer than a call takes that has
// no deadline of its own.
const retireAfter = api.DefaultTimeout + 2*time.Second

// retire calls end after retireAfter, or when the pool closes.
func (p *Pool) retire(end func()) {
	started := p.start(func() {
		t := time.NewTimer(retireAfter)
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.ctx.Done():
		}
		end()
	})
	if !started {
		end()
	}
}

func errClosed() *api.Error { return api.Errorf(api.CodeUnavailable, "the node is shutting down") }
