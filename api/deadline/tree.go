package deadline

import (
	"context"
	"time"
)

// tie has c told when it is over. The caller holds the tree's mutex, as that of everything here.
func (c *Context) tie() {
	if c.tied || c.err != nil {
		return
	}
	c.tied = true
	if c.up == nil {
		if err := c.from.Err(); err != nil {
			c.over(err)
			return
		}
		if c.from.Done() != nil {
			c.tree.untie = context.AfterFunc(c.from, func() { c.end(c.from.Err()) })
		}
	} else if c.up.tie(); c.up.err != nil {
		c.over(c.up.err)
		return
	} else {
		c.link()
	}
	c.ringIn()
}

func (c *Context) link() {
	if c.right = c.up.first; c.right != nil {
		c.right.left = c
	}
	c.up.first = c
}

func (c *Context) unlink() {
	if c.left != nil {
		c.left.right = c.right
	} else if c.up != nil && c.up.first == c {
		c.up.first = c.right
	}
	if c.right != nil {
		c.right.left = c.left
	}
	c.left, c.right = nil, nil
}

// end takes the mutex.
func (c *Context) end(err error) {
	c.tree.mu.Lock()
	defer c.tree.mu.Unlock()
	c.over(err)
}

// over ends c and what was made from it, unless it has ended.
func (c *Context) over(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	c.callAfter()
	for c.first != nil {
		c.first.over(err)
	}
	c.unlink()
	if c.up == nil {
		c.tree.stop()
	}
}

func (c *Context) callAfter() {
	for _, f := range c.after {
		go (*f)()
	}
	c.after = nil
}

// stop has nobody told any more.
func (t *tree) stop() {
	if t.untie != nil {
		t.untie()
	}
	if t.timer != nil {
		t.timer.Stop()
	}
}

// ringIn has the timer ring in time for c.
func (c *Context) ringIn() {
	if c.timed() {
		c.tree.ringAt(c.until)
	}
}

// ringAt has the timer ring then, or sooner.
func (t *tree) ringAt(at time.Time) {
	if soonest := t.rang.Add(coarse); at.Before(soonest) {
		at = soonest
	}
	switch {
	case !t.rings.IsZero() && !at.Before(t.rings):
		return
	case t.timer == nil:
		t.timer = time.AfterFunc(time.Until(at), t.ring)
	default:
		t.timer.Reset(time.Until(at))
	}
	t.rings = at
}

// ring ends what is over, and looks when the next will be.
func (t *tree) ring() {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rang, t.rings = now, time.Time{}
	t.root.look(now)
}

func (c *Context) look(now time.Time) {
	switch {
	case c.err != nil:
		return
	case c.timed() && !now.Before(c.until):
		c.over(context.DeadlineExceeded)
		return
	}
	c.ringIn()
	for x := c.first; x != nil; {
		next := x.right
		x.look(now)
		x = next
	}
}
