package client

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
)

// pacer holds back calls that a node would refuse because of load. A refused call costs the node capacity that it could use for
// the calls it has accepted.
//
// The number of calls sent at once is adapted as TCP does: after a refusal it falls by a quarter, and while the node serves calls
// it grows. The other calls wait in a line, first come, first served. Calls are divided into kinds by what they may compete for:
// the first segment of the key, and whether only the owner can answer. If nothing was refused lately, no call waits, and only the
// calls under way are counted. A pacer is safe for concurrent use.
type pacer struct {
	under atomic.Int64 // attempts under way
	lines atomic.Int64 // len(of)

	mu sync.Mutex
	of map[string]*line // guarded by mu
}

// line is the queue for calls of one kind. It is guarded by the pacer's mu.
type line struct {
	name    string
	limiter admission.Limiter
	waiting []*turn // including those that have given up
}

// turn is a call's place in a line. A turn without a line was not held back.
type turn struct {
	line  *line
	place *admission.Ticket // in the line
	sent  time.Time         // when the attempt began, if the turn is in a line
	come  chan struct{}     // closed when the call may be sent; nil if it may be sent at once
	ended bool              // guarded by the pacer's mu: the call waits no more
}

const (
	// leastInside is how many calls of a kind are always sent.
	leastInside = 4
	// mostInside is the limit at which a line no longer holds back calls.
	mostInside = 16384
	// calmAfter is the time without a refusal after which each served call lets one more be sent. Before that, one more is let
	// through only after as many calls were served as may be sent at once.
	calmAfter = time.Second
	// heldRetryAfter is the RetryAfter of calls whose time was up before they were sent.
	heldRetryAfter = 100 * time.Millisecond
	// mostLines bounds the number of lines. The kinds beyond it share one line.
	mostLines = 64
)

// atOnce is the turn of all calls while there is no line.
var atOnce = &turn{}

// lineOf returns the name of a call's kind.
func lineOf(q *call) string {
	first, _, _ := strings.Cut(string(q.key), "/")
	if q.writes || q.read != nil && q.read.Consistency == api.Quorum {
		return "owner " + first
	}
	return "any " + first
}

// enter returns a turn if the call may be sent at once. It returns nil if others wait or too many calls are under way.
func (p *pacer) enter(q *call) *turn {
	if p.lines.Load() == 0 {
		p.under.Add(1)
		return atOnce
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.find(q)
	if l != nil && l.limiter.Full(time.Now(), 0) {
		return nil
	}
	return p.let(&turn{line: l})
}

// find returns the call's line, or nil if it has none.
func (p *pacer) find(q *call) *line {
	return cmp.Or(p.of[lineOf(q)], p.of[""])
}

// let begins a turn.
func (p *pacer) let(t *turn) *turn {
	p.under.Add(1)
	if t.line != nil {
		t.sent = time.Now()
		t.place = t.line.limiter.Begin(t.sent)
	}
	return t
}

// wait waits until the call may be sent and returns its turn. It returns nil if ctx ends first.
func (p *pacer) wait(ctx context.Context, q *call) *turn {
	p.mu.Lock()
	l := p.find(q)
	if l == nil || !l.limiter.Full(time.Now(), 0) {
		defer p.mu.Unlock()
		return p.let(&turn{line: l})
	}
	t := &turn{line: l, come: make(chan struct{})}
	l.waiting = append(l.waiting, t)
	p.mu.Unlock()
	select {
	case <-t.come:
		return t
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.ended { // the turn came at the same moment
		return t
	}
	t.ended = true
	return nil
}

// leave ends a turn of the call. f is the failure of its attempt, or nil if the call was answered.
func (p *pacer) leave(t *turn, q *call, f *failure) {
	under := p.under.Add(-1) + 1
	refused := f != nil && f.err.Code == api.CodeUnavailable && f.err.RetryAfter > 0
	if t.line == nil && !refused {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.line != nil {
		t.line.limiter.End(t.place)
	}
	l, now := p.find(q), time.Now() // if the turn's line is gone, the line that replaced it
	switch {
	case l == nil && refused:
		l = p.begin(q)
		l.limiter.Start(int(under), now)
	case l == nil:
		return
	case refused:
		l.limiter.Refused(t.sent, now)
	case f == nil || f.verdict == final:
		l.limiter.RaiseAfter = 0
		if l.limiter.Calm(now, calmAfter) {
			l.limiter.RaiseAfter = 1
		}
		l.limiter.Served()
	}
	p.next(l, now)
}

// begin makes a line for the call.
func (p *pacer) begin(q *call) *line {
	l := &line{name: lineOf(q), limiter: admission.Limiter{Least: leastInside, Most: mostInside}}
	if len(p.of) >= mostLines {
		l.name = ""
	}
	if p.of == nil {
		p.of = map[string]*line{}
	}
	p.of[l.name] = l
	p.lines.Store(int64(len(p.of)))
	return l
}

// next begins the turns of waiting calls as far as there is room. It deletes a line that holds back no call.
func (p *pacer) next(l *line, now time.Time) {
	for len(l.waiting) > 0 && !l.limiter.Full(now, 0) {
		t := l.waiting[0]
		l.waiting = l.waiting[1:]
		if !t.ended {
			t.ended = true
			p.let(t)
			close(t.come)
		}
	}
	if len(l.waiting) == 0 && (l.limiter.Open() || l.limiter.Inside() == 0 && l.limiter.Calm(now, calmAfter)) && p.of[l.name] == l {
		delete(p.of, l.name)
		p.lines.Store(int64(len(p.of)))
	}
}
