package peer

import (
	"context"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// confirms merges the confirms of all groups to one node: those that wait for a free frame travel in one. Each frame
// carries only what was asked before it was sent, so every answer was given after its question.
type confirms struct {
	remote *Remote
	max    int // frames under way

	mu      sync.Mutex
	flying  int
	waiting map[question]*pending
}

// pending is one question in one frame, for all who asked it before the frame left.
type pending struct {
	done chan struct{}
	yes  bool  // set before done is closed
	err  error // likewise
}

// ask returns whether the node's term in the group was still term at an instant after the call.
func (c *confirms) ask(ctx context.Context, q question) (bool, error) {
	p, err := c.join(q)
	if err != nil {
		return false, err
	}
	select {
	case <-p.done:
		return p.yes, p.err
	case <-ctx.Done():
		return false, &api.Error{Code: api.CodeUnavailable, Op: "confirm", Hint: "the voter did not answer in time", Err: ctx.Err()}
	}
}

// join puts the question into the next frame, and sends that if it may leave now.
func (c *confirms) join(q question) (*pending, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.waiting[q]
	if p == nil {
		if len(c.waiting) >= c.remote.pool.cfg.MaxConfirms {
			return nil, overload("confirms")
		}
		p = &pending{done: make(chan struct{})}
		c.waiting[q] = p
	}
	if c.flying < c.max {
		frame := c.waiting
		c.waiting = map[question]*pending{}
		if !c.remote.pool.start(func() { c.fly(frame) }) {
			return nil, errClosed()
		}
		c.flying++
	}
	return p, nil
}

// fly sends a frame, then the next one as long as questions wait.
func (c *confirms) fly(frame map[question]*pending) {
	for frame != nil {
		c.send(frame)
		c.mu.Lock()
		frame = c.waiting
		c.waiting = map[question]*pending{}
		if len(frame) == 0 {
			frame = nil
			c.flying--
		}
		c.mu.Unlock()
	}
}

// send sends one frame and hands out the answers.
func (c *confirms) send(frame map[question]*pending) {
	pool := c.remote.pool
	ctx, cancel := context.WithTimeout(pool.ctx, pool.cfg.ConfirmTimeout)
	defer cancel()
	message := &confirm{Questions: make([]question, 0, len(frame))}
	for q := range frame {
		message.Questions = append(message.Questions, q)
	}
	answer, err := call(ctx, c.remote, methodConfirm, message)
	if err == nil && len(answer.Yes) != len(message.Questions) {
		err = api.Errorf(api.CodeInternal, "%d answers came to %d questions", len(answer.Yes), len(message.Questions))
	}
	for i, q := range message.Questions {
		p := frame[q]
		if p.err = err; err == nil {
			p.yes = answer.Yes[i]
		}
		close(p.done)
	}
}
