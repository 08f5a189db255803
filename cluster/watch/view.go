package watch

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
)

// viewKey is what distinguishes the watchers of a source: those with the same one get the same batches.
type viewKey struct {
	of       api.Range
	keysOnly bool
}

// view is a source as the watchers of one range see it. The source's mu guards it.
type view struct {
	viewKey
	watchers int
	changed  chan struct{} // closed when there is more to take
	wanted   []uint64      // the rounds of the ring with something for the range, oldest first
	lost     uint64        // the newest such round that the ring has no more; 0: none
	rendered map[uint64][]*api.WatchBatch
	at       *cursor.Cursor // of the source, when text was made
	text     api.Cursor
}

// told notes a round of the source.
func (v *view) told(n uint64, r *round) {
	if v.wants(r) {
		v.wanted = append(v.wanted, n)
		v.wake()
	}
}

func (v *view) wake() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// wants reports whether a round has something for the range.
func (v *view) wants(r *round) bool {
	for i := range r.parts {
		p := &r.parts[i]
		if p.gap != nil && v.hasGap(p.gap) {
			return true
		}
		for n := range p.events {
			if v.of.Contains(p.events[n].Key) {
				return true
			}
		}
	}
	return false
}

// hasGap reports whether a key of the range can be in the gap.
func (v *view) hasGap(g *gap) bool {
	_, ok := cursor.Clip(g.piece, v.of)
	return ok
}

// forget drops what is known of rounds before the first one of the ring.
func (v *view) forget(first uint64) {
	if i, _ := slices.BinarySearch(v.wanted, first); i > 0 {
		v.lost, v.wanted = v.wanted[i-1], v.wanted[i:]
	}
	for n := range v.rendered {
		if n < first {
			delete(v.rendered, n)
		}
	}
}

// batches returns what the watchers of the view get of a round: a batch for each of its parts, nil for those that have nothing for
// them. They are made once.
func (v *view) batches(n uint64, r *round) ([]*api.WatchBatch, error) {
	if all, ok := v.rendered[n]; ok {
		return all, nil
	}
	all := make([]*api.WatchBatch, len(r.parts))
	for i := range r.parts {
		var err error
		if all[i], err = v.batch(&r.parts[i], nil); err != nil {
			return nil, err
		}
	}
	v.rendered[n] = all
	return all, nil
}

// batch returns what the view's watchers get of a part; nil if that is nothing. What out leaves out is not delivered.
func (v *view) batch(p *part, out *filter) (*api.WatchBatch, error) {
	b := &api.WatchBatch{}
	switch {
	case p.gap != nil && (!v.hasGap(p.gap) || out.gap(p.gap)):
		return nil, nil
	case p.gap != nil:
		b.Gap = v.gap(p.gap)
	default:
		if b.Events = v.events(p, out); len(b.Events) == 0 {
			return nil, nil
		}
	}
	if p.at == nil || out != nil {
		return b, nil
	}
	var err error
	b.Cursor, err = p.at.Part(v.of).Encode()
	return b, err
}

// gap returns the gap in the range.
func (v *view) gap(g *gap) *api.Gap {
	p, _ := cursor.Clip(g.piece, v.of)
	return &api.Gap{Range: p.Range, Reason: g.reason}
}

// events returns those of the part that are in the range and are not left out.
func (v *view) events(p *part, out *filter) []api.Event {
	wanted := func(i int) bool {
		k := p.events[i].Key
		return v.of.Contains(k) && !out.event(k, p.origins[i])
	}
	all, values := true, false
	for i := range p.events {
		all = all && wanted(i)
		values = values || len(p.events[i].Value) > 0 || p.events[i].Elided
	}
	if all && (!v.keysOnly || !values) {
		return p.events
	}
	var some []api.Event
	for i := range p.events {
		if !wanted(i) {
			continue
		}
		e := p.events[i]
		if v.keysOnly {
			e.Value, e.Elided = nil, false
		}
		some = append(some, e)
	}
	return some
}

// cursorOf returns the text of a position of the source in the range, which many watchers ask for at once.
func (v *view) cursorOf(at *cursor.Cursor) (api.Cursor, error) {
	if v.at == at {
		return v.text, nil
	}
	text, err := at.Part(v.of).Encode()
	if err == nil {
		v.at, v.text = at, text
	}
	return text, err
}

// wantedFrom returns the first round at or after the n-th with something for the view; false if the ring has none yet.
func (v *view) wantedFrom(n uint64) (uint64, bool) {
	i, _ := slices.BinarySearch(v.wanted, n)
	if i == len(v.wanted) {
		return 0, false
	}
	return v.wanted[i], true
}

// wantedIn returns the rounds of the ring with something for the view.
func (v *view) wantedIn(s *source) (all []uint64) {
	for i, r := range s.ring {
		if v.wants(r) {
			all = append(all, s.first+uint64(i))
		}
	}
	return all
}
