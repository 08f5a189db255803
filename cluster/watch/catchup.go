package watch

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

// catchUp is a merge of one watcher alone, which has its turn or waits for it.
type catchUp struct {
	hub    *Hub
	turn   chan struct{}
	rounds chan *round // nil until it has started; closed at the end
	end    func()
	err    error // why it ended; read it only once failed is set
	failed bool  // rounds is closed
	round  *round
	at     time.Time // what the last round is complete as of
}

func (h *Hub) catchUp() *catchUp { return &catchUp{hub: h, turn: h.turns.ask(), end: func() {}} }

// waits returns what the watcher waits for: its turn, then rounds.
func (c *catchUp) waits() (turn <-chan struct{}, rounds <-chan *round) {
	switch {
	case c == nil:
		return nil, nil
	case c.rounds == nil:
		return c.turn, nil
	}
	return nil, c.rounds
}

func (c *catchUp) asOf() time.Time {
	if c == nil {
		return time.Time{}
	}
	return c.at
}

// start begins to merge at the watcher's position.
func (c *catchUp) start(w *watcher) {
	c.rounds = make(chan *round)
	ctx, cancel := context.WithCancel(c.hub.ctx)
	c.end = cancel
	emit := func(r *round) error {
		select {
		case c.rounds <- r:
			return nil
		case <-ctx.Done():
			return ended(ctx)
		}
	}
	m := &merge{hub: c.hub, keysOnly: w.request.KeysOnly, emit: emit}
	at := w.at.Part(w.request.Range)
	if !c.hub.background(func() {
		defer c.hub.turns.giveBack(c.turn)
		defer cancel()
		defer close(c.rounds)
		c.err = m.run(ctx, at)
	}) {
		c.err = closing()
		close(c.rounds)
		c.hub.turns.giveBack(c.turn)
	}
}

// took notes a round that came, or that there are no more.
func (c *catchUp) took(r *round, ok bool) {
	if !ok {
		c.failed = true
		return
	}
	c.round, c.at = r, r.asOf
}

// endOwn ends the watcher's own merge, if there is one. Its turn is another watcher's when it has ended.
func (w *watcher) endOwn() {
	if c := w.own; c != nil {
		if c.end(); c.rounds == nil {
			c.hub.turns.giveBack(c.turn)
		}
		w.own, w.done = nil, 0
	}
}

// yieldTurn ends the watcher's own merge if that tells nothing while others wait for their turn: their owners may be within reach. The
// watcher asks for another turn behind them.
func (w *watcher) yieldTurn() {
	if w.own != nil && w.own.rounds != nil && w.hub.turns.wanted() {
		w.endOwn()
	}
}

// takeOwn takes from the watcher's own merge. It returns nil if nothing is there. When a round has been taken, it leaves the merge if
// the ring has what comes next.
func (w *watcher) takeOwn() (b *api.WatchBatch, err error) {
	c := w.own
	switch {
	case c.failed:
		return nil, c.err
	case c.round == nil:
		return nil, nil
	}
	for b == nil && err == nil && w.done < len(c.round.parts) {
		p := &c.round.parts[w.done]
		b, err = w.view.batch(p, w.out)
		w.done++
		if p.at != nil {
			w.moveTo(p.at)
		}
	}
	if w.done == len(c.round.parts) {
		w.moveTo(c.round.after)
		c.round, w.done = nil, 0
		s := w.source
		s.mu.Lock()
		if w.attachLocked() {
			w.endOwn()
		}
		s.mu.Unlock()
	}
	return w.withCursor(b), err
}
