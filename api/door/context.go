package door

import (
	"context"
	"sync"
	"time"
)

// Context is the context of a request: it ends at a time, with the context that it is made from, or by End. It starts its timer only
// when it is first waited for, since most requests that a lease answers never are: a timer for each would cost a twelfth of such a
// read. It is safe for concurrent use.
type Context struct {
	of    context.Context // what it is made from
	until time.Time

	mu     sync.Mutex
	timed  context.Context // guarded by mu: nil until it is needed
	cancel context.CancelFunc
}

// NewContext returns a Context that ends with of, and at until at the latest. Its End must be called.
func NewContext(of context.Context, until time.Time) *Context {
	if own, ok := of.Deadline(); ok && own.Before(until) {
		until = own
	}
	return &Context{of: of, until: until}
}

// Until returns when it ends at the latest.
func (c *Context) Until() time.Time { return c.until }

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) { return c.until, true }

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadline(c.of, c.until)
	}
	return c.timed.Done()
}

// Err implements context.Context.
func (c *Context) Err() error {
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

// Value implements context.Context.
func (c *Context) Value(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed != nil { // package context finds its own there, and starts no goroutine for those made from it
		return c.timed.Value(key)
	}
	return c.of.Value(key)
}

// End ends it, unless it has ended.
func (c *Context) End() {
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
