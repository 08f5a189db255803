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

// ofAnotherLife reports whether a cursor names an owner which there never was since the cluster was restored from a backup: the map has
// another owner at just this epoch; or only earlier ones, and the owner that the cursor names does not know of it, though it has told a
// position there. A watch from such a cursor would wait for that owner for ever. The error is CodeUnavailable if that cannot be found out.
func (h *Hub) ofAnotherLife(ctx context.Context, c *cursor.Cursor) (bool, error) {
	if m := h.cfg.Map(); strange(m, c) == nil && len(ahead(m, c)) == 0 || !guardOwners {
		return false, nil
	}
	fresh := h.cfg.Refresh(ctx) == nil // the cursor may know of a move before this node does
	m := h.cfg.Map()
	if strange(m, c) != nil {
		return fresh, nil
	}
	unknown, err := h.unknown(ctx, ahead(m, c))
	if err != nil || len(unknown) == 0 {
		return false, err
	}
	if err := h.cfg.Refresh(ctx); err != nil {
		return false, &api.Error{Code: api.CodeUnavailable, Op: "watch", RetryAfter: time.Second, Err: err,
			Hint: "an owner that the cursor names does not know of it, and there is no newer map"}
	}
	m = h.cfg.Map()
	return slices.ContainsFunc(unknown, func(p words.Piece) bool { return !movedOn(m, p) }), nil
}

// ahead returns the pieces in which a position was told, and for some of whose keys the map has only earlier owners.
func ahead(m *placement.Map, c *cursor.Cursor) (all []cursor.Piece) {
	for _, p := range c.Pieces {
		if m != nil && p.At.Index > 0 && slices.ContainsFunc(m.Spans(p.Range), func(s placement.Span) bool { return s.Epoch < p.Epoch }) {
			all = append(all, p)
		}
	}
	return all
}

// unknown asks the owners of the pieces, and returns those of which their owners do not know.
func (h *Hub) unknown(ctx context.Context, pieces []cursor.Piece) (all []words.Piece, err error) {
	ctx, cancel := context.WithTimeout(ctx, api.DefaultTimeout)
	defer cancel()
	errs := make([]error, len(pieces))
	var wg sync.WaitGroup
	for i, p := range pieces {
		wg.Go(func() {
			defer h.cfg.Faults.Catch("watch", &errs[i])
			_, errs[i] = h.firstBatch(ctx, words.FeedRequest{Piece: p.Piece, After: p.At, KeysOnly: true})
		})
	}
	wg.Wait()
	for i, err := range errs {
		switch {
		case api.CodeOf(err) == api.CodeWrongGroup && guardAnotherLife:
			all = append(all, pieces[i].Piece)
		case err != nil && api.CodeOf(err) != api.CodeWrongGroup:
			return nil, err
		}
	}
	return all, nil
}

// strange returns a piece that contradicts the map: which gives the piece's keys to another group at just this epoch, or does not have
// the group, though it knows no later owner of the keys.
func strange(m *placement.Map, c *cursor.Cursor) *cursor.Piece {
	if m == nil {
		return nil
	}
	for i := range c.Pieces {
		p := &c.Pieces[i]
		_, known := m.Group(p.Group)
		for _, s := range m.Spans(p.Range) {
			switch {
			case s.Epoch > p.Epoch:
			case !known, s.Epoch == p.Epoch && (int(p.Of) != len(s.Groups) || s.Groups[p.Index] != p.Group):
				return p
			}
		}
	}
	return nil
}
