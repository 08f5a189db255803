// Package deadline makes contexts for calls, nearly all of which end long before their time is up. Those of package context
// register with their parent and start a timer when they are made; these do when somebody first waits for them, and those
// made from one another share one timer.
package deadline

import (
	"context"
	"sync"
	"time"
)

// Context ends at its deadline, with the context that it was made from, or by End, whatever is first. Contexts made from one
// another are a tree. It is safe for concurrent use.
type Context struct {
	from  context.Context // what it was made from
	until time.Time       // zero: no deadline
	lent  bool            // until is that of from, which ends it then: so whoever sees it end sees from ended
	tree  *tree
	up    *Context // from, where that is one of ours

	// All of this is guarded by the tree's mutex.
	err   error
	done  chan struct{} // made when somebody asks for it
	tied  bool          // it is told when its time is up or what it was made from ends
	after []*func()     // what to call when it ends
	// Of those made from it, the first that is tied, and its neighbours among those made from the same one.
	first, left, right *Context
}

var _ context.Context = (*Context)(nil)

// tree is what contexts made from one another share.
type tree struct {
	root  *Context
	mu    sync.Mutex
	timer *time.Timer // nil until one is needed
	rings time.Time   // when the timer does; zero: it does not
	// rang is when it did last. It does not again within coarse: however many contexts there are, to look them all through
	// costs little.
	rang  time.Time
	untie func() bool // from what the root was made from; nil where it is not tied to that
}

const coarse = time.Millisecond

// With returns a context that is made from that one and ends at the time until at the latest; zero: no deadline of its own.
// Whoever makes it calls its End when the call is over.
func With(from context.Context, until time.Time) *Context {
	if up, ok := from.(*Context); ok {
		lent := until.IsZero() || !up.until.IsZero() && !up.until.After(until)
		if lent {
			until = up.until
		}
		return &Context{from: from, until: until, lent: lent, tree: up.tree, up: up}
	}
	own, lent := from.Deadline()
	if lent = lent && (until.IsZero() || !own.After(until)); lent {
		until = own
	}
	root := &struct {
		c Context
		t tree
	}{}
	root.c = Context{from: from, until: until, lent: lent, tree: &root.t}
	root.t.root = &root.c
	return &root.c
}

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) { return c.until, !c.until.IsZero() }

// timed tells whether it ends at a time by itself.
func (c *Context) timed() bool { return !c.lent && !c.until.IsZero() }

// Value is that of the context that it was made from.
func (c *Context) Value(key any) any { return c.from.Value(key) }

// Err implements context.Context.
func (c *Context) Err() error {
	c.tree.mu.Lock()
	err, tied := c.err, c.tied
	c.tree.mu.Unlock()
	switch {
	case err != nil || tied:
		return err
	case c.from.Err() != nil:
		c.end(c.from.Err())
	case c.timed() && !time.Now().Before(c.until):
		c.end(context.DeadlineExceeded)
	default:
		return nil
	}
	return c.Err() // the first end counts
}

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} {
	c.tree.mu.Lock()
	defer c.tree.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	c.tie()
	return c.done
}

// AfterFunc has f called in a goroutine of its own when the context has ended, until stop is called. It is what package
// context looks for, so that those which it makes from this one need no goroutine that waits.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	c.tree.mu.Lock()
	defer c.tree.mu.Unlock()
	at := &f
	c.after = append(c.after, at)
	if c.err != nil {
		c.callAfter()
	}
	c.tie()
	return func() bool { return c.forget(at) }
}

// forget has f not called; false where it has been or will be.
func (c *Context) forget(f *func()) bool {
	c.tree.mu.Lock()
	defer c.tree.mu.Unlock()
	for i, x := range c.after {
		if x == f {
			c.after = append(c.after[:i], c.after[i+1:]...)
			return true
		}
	}
	return false
}

// End ends it, unless it has ended.
func (c *Context) End() { c.end(context.Canceled) }
