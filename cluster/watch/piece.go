package watch

import (
	"context"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// follower reads the feed of pieces of one group for a merge, and opens it again at its position when it breaks. Only its own goroutine
// uses what changes, but for halted, which is the merge's.
type follower struct {
	merge  *merge
	parts  []words.FeedPart // with the positions up to which the merge has all
	beside []words.Piece    // the merge's other pieces
	all    []words.Piece    // all pieces of the merge, when the feed was opened
	now    bool             // begin now, whatever the position
	pause  time.Duration    // before the next attempt
	later  bool             // when the last request was sent, the map had a part of the piece at a later epoch
	cancel context.CancelFunc
	halted bool // the feed waits for what follows a piece beside it
}

// arrival is what a follower hands to its merge.
type arrival struct {
	from  *follower
	batch *words.FeedBatch // nil at the end
	gone  bool             // no group knows what became of the piece
	split bool             // the group does not know one of the pieces
	apart bool             // the group's leader serves one piece at a time
	err   error            // the feed cannot be had at all
}

// run hands over batches until the feed has ended, a piece is gone, the feed is refused for good, or ctx ends.
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
		var last bool
		last, err = f.feed(ctx)
		code := api.CodeOf(err)
		switch {
		case last:
			return
		case code == words.Apart, code == api.CodeWrongGroup && len(f.parts) > 1:
			err = nil
			f.rest(ctx)
			f.merge.hand(ctx, arrival{from: f, apart: code == words.Apart, split: code != words.Apart})
			return
		case code == api.CodeWrongGroup && f.later:
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

// feed hands over the batches of one feed. It returns whether its last one has come, or why the feed ended.
func (f *follower) feed(ctx context.Context) (last bool, err error) {
	h, p := f.merge.hub, &f.parts[0]
	f.later = movedOn(h.cfg.Map(), p.Piece)
	r := words.FeedRequest{
		Piece: p.Piece, After: p.After, Now: f.now, KeysOnly: f.merge.keysOnly,
		Also: slices.Clone(f.parts[1:]), Beside: f.beside,
	}
	x, err := h.cfg.Feeder.Feed(ctx, &r)
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
		for i := range f.parts {
			f.parts[i].After = b.After(i, f.parts[i].After)
		}
		if f.now {
			f.now, p.After = false, b.To
		}
		if b.Last() {
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
