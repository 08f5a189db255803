package watch

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
)

// moved replaces piece i by what is left of it, at its position, and by the pieces of the new owners, from where they took over. These
// begin when all earlier owners of their keys have told all.
func (m *merge) moved(i int, to *words.Moved) {
	next := m.without(i)
	next.replace(m.at.Range, m.at.Pieces[i], to, m.pieces[i].asOf)
	m.become(next)
}

// replace adds what is left of a piece of which a part has moved, and the pieces of the new owners.
func (n *plan) replace(within api.Range, p cursor.Piece, to *words.Moved, asOf time.Time) {
	for _, rest := range minus(p.Range, to.Range) {
		x := p
		x.Range = rest
		n.add(within, x, asOf)
	}
	part, ok := p.Range.Intersect(to.Range)
	for i, g := range to.To {
		x := words.Piece{Range: part, Index: uint32(i), Of: uint32(len(to.To)), Epoch: to.Epoch, Group: g}
		if ok && cursor.Overlap(p.Piece, x) {
			n.add(within, cursor.Piece{Piece: x}, asOf)
		}
	}
}

// lost replaces what the map has at a later epoch of piece i by the map's pieces, since no group knows what became of it, and tells a
// gap.
func (m *merge) lost(r *round, i int) {
	asOf, p := m.pieces[i].asOf, m.at.Pieces[i]
	next := m.without(i)
	now := m.hub.cfg.Map()
	var gaps []gap
	for _, s := range now.Spans(p.Range) {
		part := p
		part.Range = s.Range
		if s.Epoch <= p.Epoch {
			next.add(m.at.Range, part, asOf)
			continue
		}
		for _, x := range piecesOf(now, s.Range) {
			if cursor.Overlap(p.Piece, x.Piece) {
				next.add(m.at.Range, x, asOf)
			}
		}
		gaps = append(gaps, gap{part.Piece, api.GapGone, cursor.Origin{Epoch: s.Epoch}})
	}
	m.become(next)
	for _, g := range gaps {
		m.tellGap(r, g)
	}
}

// plan is the pieces that a merge is to have, and what is known of them.
type plan struct {
	pieces []cursor.Piece
	states []followed
}

// without is the pieces of the merge but piece i, whose feed ends.
func (m *merge) without(i int) *plan {
	m.pieces[i].by.cancel()
	next := &plan{}
	for n := range m.pieces {
		if n != i {
			next.pieces, next.states = append(next.pieces, m.at.Pieces[n]), append(next.states, m.pieces[n])
		}
	}
	return next
}

// add adds a piece unless it is there already: several pieces can have moved to the same owner.
func (n *plan) add(within api.Range, p cursor.Piece, asOf time.Time) {
	x, ok := cursor.Clip(p.Piece, within)
	if !ok {
		return
	}
	p.Piece = x
	for i, o := range n.pieces {
		state := &n.states[i]
		same := o.Group == p.Group && o.Epoch == p.Epoch && o.Index == p.Index && o.Of == p.Of
		if same && o.Range.ContainsRange(p.Range) {
			state.asOf = earlier(state.asOf, asOf)
			return
		}
		if same && o.At.Index == 0 && p.At.Index == 0 && o.Range.Overlaps(p.Range) {
			n.pieces[i].Range = union(o.Range, p.Range)
			if f := state.by; f != nil {
				f.cancel()
			}
			*state = followed{asOf: earlier(state.asOf, asOf)}
			return
		}
	}
	n.pieces, n.states = append(n.pieces, p), append(n.states, followed{known: knows(p.At), asOf: asOf})
}

// become makes the plan the pieces of the merge.
func (m *merge) become(n *plan) {
	m.at = &cursor.Cursor{Range: m.at.Range, Pieces: n.pieces}
	m.pieces, m.stale = n.states, true
}

// minus returns what is left of a range without a part of it.
func minus(r, part api.Range) (rest []api.Range) {
	if !r.Overlaps(part) {
		return []api.Range{r}
	}
	if r.Start < part.Start {
		rest = append(rest, api.Range{Start: r.Start, End: part.Start})
	}
	if part.End != "" && (r.End == "" || part.End < r.End) {
		rest = append(rest, api.Range{Start: part.End, End: r.End})
	}
	return rest
}

// union returns the least range that has both.
func union(a, b api.Range) api.Range {
	u := api.Range{Start: min(a.Start, b.Start), End: max(a.End, b.End)}
	if a.End == "" || b.End == "" {
		u.End = ""
	}
	return u
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
