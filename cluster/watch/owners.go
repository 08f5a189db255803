package watch

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/fsm/placement"
)

// checkOwners refuses, with CodeInvalid, a cursor that names an owner which there never was: a watch from there would wait for it for
// ever. What has an owner of a later epoch by now may have had any before. If the map cannot be made new, nothing is refused.
func (h *Hub) checkOwners(ctx context.Context, c *cursor.Cursor) error {
	if strange(h.cfg.Map(), c) == nil || !guardOwners {
		return nil
	}
	fresh := h.cfg.Refresh(ctx) == nil // the cursor may know of a move before this node does
	p := strange(h.cfg.Map(), c)
	if p == nil || !fresh {
		return nil
	}
	return api.Errorf(api.CodeInvalid, "the cursor says that the group %.100q owns %v at epoch %d, which it never did: pass it exactly as it was given",
		p.Group, p.Range, p.Epoch)
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
