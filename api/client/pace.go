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

// pacer holds calls back that a node would refuse for load: each that is sent in vain takes from what the node could do
// for those before it. How many are sent at once is found out as TCP does: where the node refuses, a quarter fewer; where
// it serves, a few more; the rest wait here for their turn, in the order in which they came. Calls are told apart by what
// may be short for them: the first segment of the key, and whether only the owner can answer. Where nothing has been
// refused lately, nobody waits and nothing is counted but how many are under way. Safe for concurrent use.
type pacer struct {
	under atomic.Int64 // attempts under way
	lines atomic.Int64 // len(of)

	mu sync.Mutex
	of map[string]*line // guarded by mu
}

// line is the calls of one kind. It is guarded by the pacer's mu.
type line struct {
	name    string
	limiter admission.Limiter
	waiting []*turn // those that have left are among them
}

// turn is a call's place in a line; one without a line was not held back.
type turn struct {
	line  *line
	place *admission.Ticket // in the line
	sent  time.Time         // when it began, if it is in a line
	come  chan struct{}     // closed when it may be sent; nil: at once
	ended bool              // guarded by the pacer's mu: it waits no more
}

const (
	// leastInside calls of a kind are always sent.
	leastInside = 4
	// mostInside is where nobody is held back any more.
	mostInside = 16384
	// calmAfter nothing was refused each call that is served lets one more be sent; before that, as many as may be sent do.
	calmAfter = time.Second
	// heldRetryAfter is told to those whose time ended before their turn came.
	heldRetryAfter = 100 * time.Millisecond
	// mostLines bounds the kinds that are told apart; those beyond share one.
	mostLines = 64
)

// atOnce is the turn of everyone where there is no line.
var atOnce = &turn{}

// lineOf names the kind of a call.
func lineOf(q *call) string {
	first, _, _ := strings.Cut(string(q.key), "/")
	if q.writes || q.read != nil && q.read.Consistency == api.Quorum {
		return "owner " + first
	}
	return "any " + first
}

// enter gives the call a turn where it has one at once; nil where others wait, or too many are under way.
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

// find is the call's line, nil where it has none.
func (p *pacer) find(q *call) *line {
	return cmp.Or(p.of[lineOf(q)], p.of[""])
}

// let has a turn begin.
func (p *pacer) let(t *turn) *turn {
	p.under.Add(1)
	if t.line != nil {
		t.sent = time.Now()
		t.place = t.line.limiter.Begin(t.sent)
	}
	return t
}

// wait gives the call a turn when it has one; nil where ctx ends before.
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
	if t.ended { // it came in the same instant
		return t
	}
	t.ended = true
	return nil
}

// leave ends a turn of the call; f is its failure, nil where it was answered.
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
	l, now := p.find(q), time.Now() // if that of the turn has ended, another one
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

// next lets in who waits, as far as there is room, and ends a line that holds nobody back.
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
