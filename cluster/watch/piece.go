package watch

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
)

// follower reads the feed of one piece for a merge, and opens it again at its position when it breaks. Only its own goroutine uses it.
type follower struct {
	merge  *merge
	piece  cursor.Piece  // with the position up to which the merge has all
	now    bool          // begin now, whatever the position
	pause  time.Duration // before the next attempt
	later  bool          // when the last request was sent, the map had a part of the piece at a later epoch
	cancel context.CancelFunc
}

// arrival is what a follower hands to its merge.
type arrival struct {
	from  *follower
	batch *words.FeedBatch // nil at the end
	gone  bool             // no group knows what became of the piece
	err   error            // the feed cannot be had at all
}

// run hands over batches until the piece has moved or is gone, the feed is refused for good, or ctx ends.
func (f *follower) run(ctx context.Context) {
	var err error
	defer func() {
		if err != nil && ctx.Err() == nil {
			f.merge.hand(ctx, arrival{from: f, err: err})
		}
	}()
	defer f.merge.hub.cfg.Faults.Catch("watch", &err)
	f.pause = minPause
	for ctx.Err() == nil {
		var moved bool
		moved, err = f.feed(ctx)
		switch {
		case moved:
			return
		case api.CodeOf(err) == api.CodeWrongGroup && f.later:
			err = nil
			f.merge.hand(ctx, arrival{from: f, gone: true})
			return
		case err != nil && !passing(err):
			return
		}
		err = nil
		f.rest(ctx)
	}
}

// feed hands over the batches of one feed. It returns whether the piece has moved, or why the feed ended.
func (f *follower) feed(ctx context.Context) (moved bool, err error) {
	h := f.merge.hub
	f.later = movedOn(h.cfg.Map(), f.piece.Piece)
	x, err := h.cfg.Feeder.Feed(ctx, &words.FeedRequest{Piece: f.piece.Piece, After: f.piece.At, Now: f.now, KeysOnly: f.merge.keysOnly})
	if err != nil {
		return false, err
	}
	defer func() { _ = x.Close() }() // what it told counts
	for {
		b, err := x.Next()
		if err != nil {
			return false, err
		}
		f.pause = minPause
		if !f.merge.hand(ctx, arrival{from: f, batch: b}) {
			return false, ended(ctx)
		}
		f.now, f.piece.At = false, b.To
		if b.Moved != nil {
			return true, nil
		}
	}
}

// rest waits before the next attempt, and makes the map new: the piece may have moved on.
func (f *follower) rest(ctx context.Context) {
	t := time.NewTimer(f.pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return
	}
	f.pause = min(2*f.pause, maxPause)
	_ = f.merge.hub.cfg.Refresh(ctx) // if it fails, the next attempt is by the old map
}
