package fsm

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// history: what Meta says of the history is so, its events are in order, and it has what the keys hold: the newest event of each
// key is the last change of it.
func (a *audit) history() {
	var bytes uint64
	at := uint64(0)
	newest := map[api.Key]Event{}
	a.each(tableHistory, func(k, row []byte) bool {
		r := codec.Reader{B: k}
		last := r.Fixed64()
		bytes += uint64(1 + len(k) + len(row))
		for _, e := range parse(row, func(r *codec.Reader) []Event { return readEvents(last, r) }) {
			if e.Index <= at && newest[e.Key].Index == e.Index {
				return a.broken("FeedWhole", "two events of %q at %d", string(e.Key), e.Index)
			}
			if e.Version.Index > e.Index {
				return a.broken("FeedWhole", "%q was visible at %d, before its version %v", string(e.Key), e.Index, e.Version)
			}
			at, newest[e.Key] = e.Index, e
		}
		if last < a.meta.HistFirst || last > a.meta.Counter {
			return a.broken("HistoryTrim", "a row at %d, before the first at %d or after the counter %d", last, a.meta.HistFirst, a.meta.Counter)
		}
		return true
	})
	if a.err != nil {
		return
	}
	if bytes != a.meta.HistBytes || !a.meta.Level.keepsHistory() && bytes > 0 {
		a.broken("HistoryTrim", "the history takes %d bytes, and is said to take %d at level %d", bytes, a.meta.HistBytes, a.meta.Level)
		return
	}
	floor := a.meta.position().Floor
	for k, e := range newest {
		if e.Index <= floor {
			continue
		}
		o, owns := a.shardOf(k)
		if !owns {
			continue
		}
		if ver, _, exists := a.state(k, o); exists != (e.Kind == api.EventPut) || exists && ver != e.Version {
			a.broken("FeedWhole", "the newest event of %q is %v %v, and it exists: %v, at %v", string(k), e.Kind, e.Version, exists, ver)
			return
		}
	}
	a.each(tableKV, func(k, row []byte) bool {
		ver := valueOf(row).version
		if o, owns := a.shardOf(api.Key(k)); owns && o.Epoch == ver.Epoch && ver.Index > floor && newest[api.Key(k)].Version != ver {
			return a.broken("FeedWhole", "%q is at %v, and the history above %d does not say so", k, ver, floor)
		}
		return true
	})
}
