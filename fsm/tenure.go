package fsm

import (
	"cmp"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// Tenure is what a machine knows of a piece of the keyspace that it owns at an epoch, or has owned at it.
type Tenure struct {
	// Since is the index of the command by which the group took the piece over; of its parts, the greatest. It is 0 if the group
	// was founded with the piece, or took it over before it kept a history.
	Since uint64
	// Left is the part of the piece that the group gave up first, or nil if it owns all of it.
	Left *Left
}

// Left is a range that a group gave up, by the command of index At. The groups in To may own it at Epoch. At is 0 if the group
// kept no history then.
type Left struct {
	Range api.Range
	Epoch uint64
	To    []api.GroupID
	At    uint64
}

// Tenure returns what the machine knows of the piece. It returns false if there is a part of it that the group neither owns at the
// piece's epoch nor, as far as it remembers, has given up.
func (m *Machine) Tenure(piece Shard) (Tenure, bool) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	var t Tenure
	var known []api.Range
	for _, o := range v.shards {
		if o.Epoch == piece.Epoch && o.Index == piece.Index && o.Of == piece.Of && o.Range.Overlaps(piece.Range) {
			known, t.Since = append(known, o.Range), max(t.Since, o.sinceIndex)
		}
	}
	for _, x := range m.given(&v).of(v.meta.Group, piece) {
		known, t.Since = append(known, x.left.Range), max(t.Since, x.since)
		if t.Left == nil {
			first := x.left
			first.Range, _ = first.Range.Intersect(piece.Range)
			t.Left = &first
		}
	}
	return t, covered(piece.Range, known)
}

// Follows returns the index from which the group has owned, or owned for a while, a shard that may have keys of one of the earlier
// shards, at the epoch of that one or a later one: of several the least index, and at least after. A shard that the group had given up
// again by then does not count. It returns false if there is none.
func (m *Machine) Follows(earlier []Shard, after uint64) (at uint64, ok bool) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	follows := func(s Shard) bool {
		return slices.ContainsFunc(earlier, func(e Shard) bool {
			return e.Epoch <= s.Epoch && e.Range.Overlaps(s.Range) && (e.Of != s.Of || e.Index == s.Index)
		})
	}
	note := func(since uint64) {
		if since = max(since, after); !ok || since < at {
			at, ok = since, true
		}
	}
	for _, o := range v.shards {
		if follows(o.Shard) {
			note(o.sinceIndex)
		}
	}
	all := m.given(&v)
	for _, e := range earlier {
		all.each(e.Range, func(x *given) {
			for _, own := range x.shards {
				if x.left.At > after && follows(Shard{x.left.Range, x.epoch, own.Index, own.Of}) {
					note(x.since)
				}
			}
		})
	}
	return at, ok
}

// of returns what the group has given up of the piece, the first first.
func (x *receipts) of(group api.GroupID, piece Shard) (all []*given) {
	x.each(piece.Range, func(g *given) {
		sameEpoch := g.left.At == 0 || g.epoch == piece.Epoch
		if g.left.Epoch > piece.Epoch && sameEpoch && slices.Contains(g.shards, Source{group, piece.Index, piece.Of}) {
			all = append(all, g)
		}
	})
	slices.SortFunc(all, func(a, b *given) int {
		return cmp.Or(cmp.Compare(a.left.At, b.left.At), cmp.Compare(a.left.Epoch, b.left.Epoch), cmp.Compare(a.left.Range.Start, b.left.Range.Start))
	})
	return all
}

// covered reports whether the parts together cover the range.
func covered(r api.Range, parts []api.Range) bool {
	slices.SortFunc(parts, func(a, b api.Range) int { return cmp.Compare(a.Start, b.Start) })
	at := r.Start
	for _, p := range parts {
		if !p.Contains(at) {
			continue
		}
		if at = p.End; at == "" || r.End != "" && at >= r.End {
			return true
		}
	}
	return false
}
