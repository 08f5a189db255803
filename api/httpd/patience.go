package httpd

import (
	"context"
	"sync"
	"time"
)

// patience is the context of one request: the request's own, and over at a deadline. Its timer is made when somebody first
// waits for it, so that an answer that is at hand costs none. It is safe for concurrent use.
type patience struct {
	context.Context // the request's own
	until           time.Time

	mu     sync.Mutex
	timed  context.Context // with the timer; nil until it is needed
	cancel context.CancelFunc
	ended  bool
}

var _ context.Context = (*patience)(nil)

// Deadline is until, or sooner where the request's own is.
func (p *patience) Deadline() (time.Time, bool) {
	if own, ok := p.Context.Deadline(); ok && own.Before(p.until) {
		return own, true
	}
	return p.until, true
}

// Done makes the timer.
func (p *patience) Done() <-chan struct{} { return p.wait().Done() }

// Err makes the timer only when it is not nil.
func (p *patience) Err() error {
	p.mu.Lock()
	open := p.timed == nil && !p.ended
	p.mu.Unlock()
	if open && p.Context.Err() == nil && time.Now().Before(p.until) {
		return nil
	}
	return p.wait().Err()
}

// Value also finds what package context keeps in its own contexts: those made from this one are bound to the timer's, with
// no goroutine of their own.
func (p *patience) Value(key any) any {
	p.mu.Lock()
	ctx := p.timed
	p.mu.Unlock()
	if ctx == nil {
		ctx = p.Context
	}
	return ctx.Value(key)
}

// wait is the context with the timer.
func (p *patience) wait() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timed == nil {
		p.timed, p.cancel = context.WithDeadline(p.Context, p.until)
		if p.ended {
			p.cancel()
		}
	}
	return p.timed
}

// end ends it: the request is answered.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.cancel != nil {
		p.cancel()
	}
}
