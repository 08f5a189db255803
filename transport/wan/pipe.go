package wan

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// window bounds what is under way in one direction of a connection; a writer waits beyond it.
const window = 4 << 20

// segment is what one Write sent, and when it arrives.
type segment struct {
	at   time.Time
	data []byte
}

// path decides how long a segment takes, and whether anything arrives now. Its methods are called with the pipe's mutex
// held and must not block.
type path interface {
	delay() time.Duration
	// cut tells whether nothing arrives now, and gives a channel that is closed when that changes.
	cut() (bool, <-chan struct{})
}

// pipe is one direction of a connection: what is written arrives in order, each segment after the path's delay.
type pipe struct {
	path path

	mu      sync.Mutex
	queue   []segment
	size    int
	last    time.Time // when the newest segment arrives: none overtakes another
	ended   bool      // by the writer
	broken  error     // by the reader's end, or a reset
	reading time.Time // deadlines
	writing time.Time
	waiting int
	changed chan struct{}
}

func newPipe(p path) *pipe { return &pipe{path: p, changed: make(chan struct{})} }

// wake tells every waiter to look again; mu held.
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

func (p *pipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 {
		switch {
		case p.ended:
			return n, net.ErrClosed
		case p.broken != nil:
			return n, p.broken
		case passed(p.writing):
			return n, os.ErrDeadlineExceeded
		case p.size >= window:
			p.wait(p.writing, nil)
			continue
		}
		k := min(len(b), window-p.size)
		at := time.Now().Add(p.path.delay())
		if at.Before(p.last) {
			at = p.last
		}
		p.last = at
		p.queue = append(p.queue, segment{at, append([]byte(nil), b[:k]...)})
		p.size += k
		b, n = b[k:], n+k
		p.wake()
	}
	return n, nil
}

func (p *pipe) read(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.broken != nil:
			return 0, p.broken
		case passed(p.reading):
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		}
		cut, healed := p.path.cut()
		if !cut {
			for len(p.queue) > 0 && n < len(b) && !time.Now().Before(p.queue[0].at) {
				n += p.take(b[n:])
			}
			if n > 0 {
				p.wake()
				return n, nil
			}
			if len(p.queue) == 0 && p.ended && !time.Now().Before(p.last) {
				return 0, io.EOF
			}
		}
		p.wait(p.next(cut), healed)
	}
}

// take copies from the first segment; mu held.
func (p *pipe) take(b []byte) int {
	s := &p.queue[0]
	k := copy(b, s.data)
	s.data = s.data[k:]
	p.size -= k
	if len(s.data) == 0 {
		p.queue[0] = segment{}
		p.queue = p.queue[1:]
	}
	return k
}

// next is when a reader should look again by itself; mu held.
func (p *pipe) next(cut bool) time.Time {
	var at time.Time
	switch {
	case cut:
	case len(p.queue) > 0:
		at = p.queue[0].at
	case p.ended:
		at = p.last
	}
	if at.IsZero() || !p.reading.IsZero() && p.reading.Before(at) {
		return p.reading
	}
	return at
}

// end says that nothing more will be written: the reader gets EOF after the rest.
func (p *pipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended = true
		if at := time.Now().Add(p.path.delay()); at.After(p.last) {
			p.last = at
		}
		p.wake()
	}
}

// breakOff ends both ends at once with the error; what is under way is lost.
func (p *pipe) breakOff(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == nil {
		p.broken, p.queue, p.size = err, nil, 0
		p.wake()
	}
}

func (p *pipe) setDeadline(which *time.Time, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*which = t
	p.wake()
}

// shut tells whether the reader has closed its end while the writer has not.
func (p *pipe) shut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.ended && p.broken == net.ErrClosed
}
