package watch

import (
	"slices"

	"github.com/edgehold/edgehold/api"
)

// collapseLocked takes all that there is in the ring, up to [MaxDirtyKeys] keys or the next gap, and returns the newest event of each
// key, in the order of these.
func (w *watcher) collapseLocked() (*api.WatchBatch, error) {
	s, v := w.source, w.view
	newest := map[api.Key]int{}
	var events []api.Event
	for w.next < s.nextLocked() && len(newest) < MaxDirtyKeys {
		r := s.ring[w.next-s.first]
		if w.done == len(r.parts) {
			w.next, w.done = w.next+1, 0
			w.moveTo(r.after)
			continue
		}
		p := &r.parts[w.done]
		if p.gap != nil && v.hasGap(p.gap) {
			if len(events) == 0 {
				w.done++
				w.moveTo(p.at)
				return v.batch(p, nil)
			}
			break
		}
		for _, e := range v.events(p, nil) {
			if i, ok := newest[e.Key]; ok {
				events[i].Kind = 0
			}
			newest[e.Key] = len(events)
			events = append(events, e)
		}
		w.done++
		if p.at != nil {
			w.moveTo(p.at)
		}
	}
	events = slices.DeleteFunc(events, func(e api.Event) bool { return e.Kind == 0 })
	if len(events) == 0 {
		return nil, nil
	}
	text, err := v.cursorOf(w.at)
	return &api.WatchBatch{Events: events, Cursor: text}, err
}
