package watch

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/placement"
)

// piecesOf returns the pieces of a range by the map. They have no position yet.
func piecesOf(m *placement.Map, r api.Range) []cursor.Piece {
	var all []cursor.Piece
	for _, s := range m.Spans(r) {
		for i := range s.Groups {
			o := s.Part(i)
			p := words.Piece{Range: o.Range, Index: o.Index, Of: o.Of, Epoch: o.Epoch, Group: s.Groups[i]}
			if p, ok := cursor.Clip(p, r); ok {
				all = append(all, cursor.Piece{Piece: p})
			}
		}
	}
	return all
}

// movedOn reports whether the map has a part of the piece at a later epoch.
func movedOn(m *placement.Map, p words.Piece) bool {
	if m == nil {
		return false
	}
	for _, s := range m.Spans(p.Range) {
		if s.Epoch > p.Epoch {
			return true
		}
	}
	return false
}

// now returns the position of the range at an instant after the call. The leaders say it, so that a leader that was deposed, and a
// source that is open, cannot make it older.
func (h *Hub) now(ctx context.Context, r api.Range) (*cursor.Cursor, error) {
	return h.position(ctx, r, h.askNow)
}

// position asks for the position of the range, and asks again by a newer map while it cannot be had.
func (h *Hub) position(ctx context.Context, r api.Range, ask func(context.Context, *cursor.Cursor) error) (*cursor.Cursor, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, api.DefaultTimeout)
		defer cancel()
	}
	var last error = &api.Error{Code: api.CodeUnavailable, Op: "watch", Hint: "this node has no placement map yet"}
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		if m := h.cfg.Map(); m != nil {
			c := &cursor.Cursor{Range: r, Pieces: piecesOf(m, r)}
			if len(c.Pieces) > cursor.MaxPieces {
				_, err := c.Encode()
				return nil, err
			}
			if last = ask(ctx, c); last == nil {
				return c, nil
			}
			if !passing(last) {
				return nil, last
			}
		}
		if err := h.cfg.Refresh(ctx); err != nil && h.cfg.Map() == nil {
			last = err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			e := api.AsError(last)
			return nil, &api.Error{Code: api.CodeUnavailable, Op: "watch", Hint: "the owner of a part of the range did not answer in time; try again", Err: e, RetryAfter: time.Second}
		}
	}
}

// askNow asks all groups at once for the positions of their pieces. Pieces that have moved since the map was made are asked for at
// their new owners. A group that took over, before its position, what follows a piece at another one is asked again once that one says
// so too: the watch would begin within what the group changed since. If it does not, CodeUnavailable: it answered before.
func (h *Hub) askNow(ctx context.Context, c *cursor.Cursor) error {
	ask := c.Pieces
	c.Pieces = nil
	for len(ask) > 0 {
		batches, err := h.firstBatches(ctx, ask, nowBeside(append(slices.Clone(c.Pieces), ask...)))
		if err != nil {
			return err
		}
		next := &plan{}
		var halted []cursor.Piece
		for i, b := range batches {
			switch p := ask[i]; {
			case b.Moved != nil:
				next.replace(c.Range, p, b.Moved, time.Time{})
			case b.Halted:
				halted = append(halted, p)
			default:
				p.At = b.To
				c.Pieces = append(c.Pieces, p)
			}
		}
		if len(halted) > 0 && len(next.pieces) == 0 {
			return &api.Error{Code: api.CodeUnavailable, Op: "watch", Hint: "a part of the range moves to another group", RetryAfter: time.Second}
		}
		ask = slices.Concat(next.pieces, halted)
		if len(ask) == 0 {
			equalize(c.Pieces)
		}
		if len(c.Pieces)+len(ask) > cursor.MaxPieces {
			_, err := (&cursor.Cursor{Range: c.Range, Pieces: append(c.Pieces, ask...)}).Encode()
			return err
		}
	}
	return nil
}

// nowBeside returns the requests for the present positions of pieces, beside those of all that are of other groups.
func nowBeside(all []cursor.Piece) func(words.Piece) words.FeedRequest {
	return func(p words.Piece) words.FeedRequest {
		r := words.FeedRequest{Piece: p, Now: true, KeysOnly: true}
		for i := range all {
			if guardOneFeed && all[i].Group != p.Group && len(r.Beside) < words.MaxFeedPieces {
				r.Beside = append(r.Beside, all[i].Piece)
			}
		}
		return r
	}
}

// firstBatches returns the first batch of a feed of each piece.
func (h *Hub) firstBatches(ctx context.Context, pieces []cursor.Piece, request func(words.Piece) words.FeedRequest) ([]*words.FeedBatch, error) {
	batches, errs := make([]*words.FeedBatch, len(pieces)), make([]error, len(pieces))
	var wg sync.WaitGroup
	for i := range pieces {
		wg.Go(func() {
			defer h.cfg.Faults.Catch("watch", &errs[i])
			batches[i], errs[i] = h.firstBatch(ctx, request(pieces[i].Piece))
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return batches, nil
}

func (h *Hub) firstBatch(ctx context.Context, r words.FeedRequest) (*words.FeedBatch, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f, err := h.cfg.Feeder.Feed(ctx, &r)
	if err != nil {
		return nil, err
	}
	b, err := f.Next()
	_ = f.Close() // the batch counts
	return b, err
}

// passing reports whether the same request may succeed soon.
func passing(err error) bool {
	switch api.CodeOf(err) {
	case api.CodeUnavailable, api.CodeNotLeader, api.CodeWrongGroup, api.CodeSessionDead, api.CodeLimited, api.CodeAmbiguous, words.Exhausted, words.Crowded:
		return true
	}
	return false
}

// instants shares the answers to now among callers: a caller gets the answer to a request that was sent after it came.
type instants struct {
	hub *Hub

	mu    sync.Mutex
	under map[api.Range]bool     // a request is under way
	next  map[api.Range]*instant // what those wait for that came since
}

type instant struct {
	done chan struct{}
	at   *cursor.Cursor
	err  error
}

func (s *instants) now(ctx context.Context, r api.Range) (*cursor.Cursor, error) {
	s.mu.Lock()
	x := s.next[r]
	if x == nil {
		x = &instant{done: make(chan struct{})}
		s.next[r] = x
	}
	if !s.under[r] {
		s.under[r] = s.hub.background(func() { s.run(r) })
		if !s.under[r] {
			delete(s.next, r)
			s.mu.Unlock()
			return nil, closing()
		}
	}
	s.mu.Unlock()
	select {
	case <-x.done:
		return x.at, x.err
	case <-ctx.Done():
		return nil, ended(ctx)
	}
}

// run asks as long as there is a caller that waits. One that comes while a request is under way waits for the next one.
func (s *instants) run(r api.Range) {
	for {
		s.mu.Lock()
		x := s.next[r]
		delete(s.next, r)
		if x == nil {
			delete(s.under, r)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		x.at, x.err = s.hub.now(s.hub.ctx, r)
		close(x.done)
	}
}
