package fsm

import (
	"cmp"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
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
	for _, x := range v.leftOf(piece) {
		known, t.Since = append(known, x.Range), max(t.Since, x.since)
		if t.Left == nil {
			part, _ := x.Range.Intersect(piece.Range)
			t.Left = &Left{Range: part, Epoch: x.Epoch, To: x.To, At: x.at}
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
	v.scan([]byte{tableMoved}, []byte{tableMoved + 1}, func(_, row []byte) bool {
		head := codec.Reader{B: row}
		if rng := head.Range(); !slices.ContainsFunc(earlier, func(e Shard) bool { return e.Range.Overlaps(rng) }) {
			return true
		}
		x := parse(row, readLeft)
		for _, from := range x.From {
			if from.Group == v.meta.Group && x.at > after && follows(Shard{x.Range, x.epoch, from.Index, from.Of}) {
				note(x.since)
			}
		}
		return true
	})
	return at, ok
}

// leftOf returns what the group has given up of the piece, the first first.
func (v *view) leftOf(piece Shard) (all []left) {
	v.scan([]byte{tableMoved}, []byte{tableMoved + 1}, func(_, row []byte) bool {
		head := codec.Reader{B: row}
		if rng, epoch := head.Range(), head.Uint(); !rng.Overlaps(piece.Range) || epoch <= piece.Epoch {
			return true
		}
		x := parse(row, readLeft)
		if x.at > 0 && x.epoch != piece.Epoch || !slices.Contains(x.From, Source{Group: v.meta.Group, Index: piece.Index, Of: piece.Of}) {
			return true
		}
		x.Records, x.Clients = nil, nil // which share memory with the row
		all = append(all, x)
		return true
	})
	slices.SortFunc(all, func(a, b left) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.Epoch, b.Epoch)) })
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
