package httpd

import (
	"context"
	"sync"
	"time"
)

// requestContext ends at a time, with the context of the request, or by end. It starts its timer only when it is first waited
// for, since most requests that a lease answers never are: a timer for each would cost a twelfth of such a read. Safe for
// concurrent use.
type requestContext struct {
	of    context.Context // of the request
	until time.Time

	mu     sync.Mutex
	timed  context.Context // guarded by mu: nil until it is needed
	cancel context.CancelFunc
}

func newRequestContext(of context.Context, until time.Time) *requestContext {
	if own, ok := of.Deadline(); ok && own.Before(until) {
		until = own
	}
	return &requestContext{of: of, until: until}
}

func (c *requestContext) Deadline() (time.Time, bool) { return c.until, true }

func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadline(c.of, c.until)
	}
	return c.timed.Done()
}

func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.timed != nil:
		return c.timed.Err()
	case c.of.Err() != nil:
		return c.of.Err()
	case !time.Now().Before(c.until):
		return context.DeadlineExceeded
	}
	return nil
}

func (c *requestContext) Value(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed != nil { // package context finds its own there, and starts no goroutine for those made from it
		return c.timed.Value(key)
	}
	return c.of.Value(key)
}

// end ends it, unless it has ended.
func (c *requestContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed = ended
	} else if c.cancel != nil {
		c.cancel()
	}
}

// ended is a context that has ended.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
