package wan

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// window bounds the bytes under way in one direction of a connection, with those not read yet; beyond it a writer
	// waits.
	window = 4 << 20
	// segmentCost is what a segment counts beside its bytes, so that many small segments are bounded too.
	segmentCost = 64
)

// segment is what one Write sent, and when it arrives.
type segment struct {
	at   time.Time
	data []byte
}

// path decides how long a segment takes, and whether anything arrives now. Its methods are called with the pipe's mutex
// held and must not block.
type path interface {
	delay() time.Duration
	cut() cut
}

// cut is whether a path is cut. What had arrived before can still be read; change is closed when there is something new.
type cut struct {
	off    bool
	since  time.Time
	change <-chan struct{}
}

// pipe is one direction of a connection: what is written arrives in order, each segment after the path's delay. A side
// sees the other's close after the path's delay too.
type pipe struct {
	path path

	mu       sync.Mutex
	queue    []segment
	size     int
	last     time.Time // when the newest segment, or the end, arrives: none overtakes another
	end      error     // what the reader gets after the rest; nil while the writer goes on
	writeErr error     // the writer's side is closed
	readErr  error     // the reader's side is closed
	reading  time.Time // deadlines
	writing  time.Time
	waiting  int
	changed  chan struct{}
}

func newPipe(p path) *pipe { return &pipe{path: p, changed: make(chan struct{})} }

// wake wakes every waiter; mu held.
func (p *pipe) wake() {
	if p.waiting > 0 {
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// wait releases mu until something has changed, the other channel closes, or the instant has come (zero: never).
func (p *pipe) wait(until time.Time, other <-chan struct{}) {
	p.waiting++
	changed := p.changed
	p.mu.Unlock()
	var timer <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-changed:
	case <-other:
	case <-timer:
	}
	p.mu.Lock()
	p.waiting--
}

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

// write queues b, and waits while the window is full. If the reader has closed, b is lost; the writer gets an error once the
// close has arrived on the other pipe.
func (p *pipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.writeErr != nil:
			return n, p.writeErr
		case passed(p.writing):
			return n, os.ErrDeadlineExceeded
		case p.readErr != nil:
			return n + len(b), nil
		case len(b) == 0:
			return n, nil
		case p.size >= window:
			p.wait(p.writing, nil)
			continue
		}
		k := min(len(b), window-p.size)
		p.queue = append(p.queue, segment{p.arrival(), slices.Clone(b[:k])})
		p.size += k + segmentCost
		b, n = b[k:], n+k
		p.wake()
	}
}

// arrival is when something sent now arrives; mu held.
func (p *pipe) arrival() time.Time {
	if at := time.Now().Add(p.path.delay()); at.After(p.last) {
		p.last = at
	}
	return p.last
}

// read copies what has arrived, and waits for something to.
func (p *pipe) read(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.await(len(b) == 0)
	if err != nil || len(b) == 0 {
		return 0, err
	}
	for len(p.queue) > 0 && n < len(b) && arrived(p.queue[0].at, c) {
		s := &p.queue[0]
		k := copy(b[n:], s.data)
		s.data, n, p.size = s.data[k:], n+k, p.size-k
		if len(s.data) == 0 {
			p.pop()
		}
	}
	p.wake()
	return n, nil
}

// take returns the segments that have arrived, at most about limit bytes of them, and waits for one to.
func (p *pipe) take(limit int) (net.Buffers, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.await(false)
	if err != nil {
		return nil, err
	}
	var all net.Buffers
	for n := 0; len(p.queue) > 0 && n < limit && arrived(p.queue[0].at, c); {
		data := p.queue[0].data
		all, n, p.size = append(all, data), n+len(data), p.size-len(data)
		p.pop()
	}
	p.wake()
	return all, nil
}

// pop removes the first segment, whose bytes are no longer counted; mu held.
func (p *pipe) pop() {
	p.queue[0] = segment{}
	p.queue = p.queue[1:]
	p.size -= segmentCost
}

// keptBack reports whether a cut holds back what was to arrive at that instant.
func keptBack(at time.Time, c cut) bool { return c.off && at.After(c.since) }

func arrived(at time.Time, c cut) bool { return !keptBack(at, c) && !time.Now().Before(at) }

// await returns once the first segment has arrived, or at once if the reader asks for none; mu held. The error is what
// the reader gets instead.
func (p *pipe) await(none bool) (cut, error) {
	for {
		switch {
		case p.readErr != nil:
			return cut{}, p.readErr
		case passed(p.reading):
			return cut{}, os.ErrDeadlineExceeded
		case none:
			return cut{}, nil
		}
		c, at := p.path.cut(), p.last
		if len(p.queue) > 0 {
			at = p.queue[0].at
		}
		pending := len(p.queue) > 0 || p.end != nil
		if pending && arrived(at, c) {
			if len(p.queue) > 0 {
				return c, nil
			}
			return c, p.end
		}
		until := p.reading
		if pending && !keptBack(at, c) && (until.IsZero() || at.Before(until)) {
			until = at
		}
		p.wait(until, c.change)
	}
}

// finish closes the writer's side: further writes get local, the reader gets remote after the rest, at the instant that it
// returns.
func (p *pipe) finish(local, remote error) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writeErr = local
	if p.end == nil {
		p.arrival()
		p.end = remote
	}
	p.wake()
	return p.last
}

// abandon closes the reader's side: what is under way is lost.
func (p *pipe) abandon(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readErr, p.queue, p.size = err, nil, 0
	p.wake()
}

// postpone delays what a cut since that instant has held back: it is sent again now.
func (p *pipe) postpone(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again := time.Now().Add(p.path.delay())
	for i := range p.queue {
		if s := &p.queue[i]; s.at.After(since) && s.at.Before(again) {
			s.at = again
		}
	}
	if p.last.After(since) && p.last.Before(again) {
		p.last = again
	}
	p.wake()
}

// lost returns the error of writes to a side that has closed; nil until the close has arrived here.
func (p *pipe) lost() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.end == nil || p.readErr != nil || !arrived(p.last, p.path.cut()):
		return nil
	case errors.Is(p.end, io.EOF):
		return syscall.EPIPE
	}
	return p.end
}

func (p *pipe) readDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading = t
	p.wake()
}

func (p *pipe) writeDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing = t
	p.wake()
}
