package watch

import (
	"context"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
)

// oldest returns the position of the range from which its owners have every change, and a gap for each part of it that had changes, or
// may have had some, before that.
func (h *Hub) oldest(ctx context.Context, r api.Range) (*cursor.Cursor, []api.Gap, error) {
	var gaps []api.Gap
	at, err := h.position(ctx, r, func(ctx context.Context, c *cursor.Cursor) (err error) {
		gaps, err = h.askOldest(ctx, c)
		return err
	})
	return at, gaps, err
}

// askOldest asks all groups at once where the histories of their pieces begin. Pieces that have moved since the map was made, and of
// which nothing is kept at their old owner, are asked for at their new owners.
func (h *Hub) askOldest(ctx context.Context, c *cursor.Cursor) (gaps []api.Gap, err error) {
	ask := c.Pieces
	c.Pieces = nil
	for len(ask) > 0 {
		batches, err := h.firstBatches(ctx, ask, func(p words.Piece) words.FeedRequest {
			return words.FeedRequest{Piece: p, KeysOnly: true}
		})
		if err != nil {
			return nil, err
		}
		next := &plan{}
		for i, b := range batches {
			p := ask[i]
			gaps = h.missing(gaps, p.Piece, b)
			if b.Moved != nil {
				next.replace(c.Range, p, b.Moved, time.Time{})
				continue
			}
			p.At = b.To
			c.Pieces = append(c.Pieces, p)
		}
		if ask = next.pieces; len(c.Pieces)+len(ask) > cursor.MaxPieces {
			_, err := (&cursor.Cursor{Range: c.Range, Pieces: append(c.Pieces, ask...)}).Encode()
			return nil, err
		}
	}
	return gaps, nil
}

// missing adds the gap before the first batch of a piece, if changes may be missing there. There are none missing if the group was founded
// with the piece, and keeps its history since. If it took the piece over, those of the earlier owner are.
func (h *Hub) missing(gaps []api.Gap, p words.Piece, first *words.FeedBatch) []api.Gap {
	g := api.Gap{Range: p.Range, Reason: first.Gap}
	if g.Reason == "" && first.To.Index > 0 && guardOldest {
		g.Reason = api.GapGone
	}
	if g.Reason == "" || slices.Contains(gaps, g) { // shards of a range are one to the client
		return gaps
	}
	h.metrics.gaps(1, string(g.Reason))
	return append(gaps, g)
}
