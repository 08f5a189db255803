package watch

import (
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// judge compares what a client was told, up to its cursor, with the history: of each key every version, in order and once; of each
// command all events, together. Keys in a gap may lack versions, but none comes out of order.
func (w *world) judge(t *testing.T, c *client, r api.Range) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	want := map[api.Key][]told{}
	for _, e := range w.told {
		if r.Contains(e.Key) {
			want[e.Key] = append(want[e.Key], e)
		}
	}
	got := map[api.Key][]api.Event{}
	for _, e := range c.log {
		got[e.Key] = append(got[e.Key], e)
	}
	for k, events := range got {
		for i := 1; i < len(events); i++ {
			if events[i].Version.Compare(events[i-1].Version) <= 0 && len(c.gaps) == 0 {
				t.Errorf("%s: version %v after %v", k, events[i].Version, events[i-1].Version)
			}
		}
	}
	inGap := func(k api.Key) bool {
		return slices.ContainsFunc(c.gaps, func(g api.Gap) bool { return g.Range.Contains(k) })
	}
	for k, events := range want {
		if inGap(k) {
			continue
		}
		if len(got[k]) != len(events) {
			t.Errorf("%s: told %d events, want %d; missing %v", k, len(got[k]), len(events), lacking(got[k], events))
			continue
		}
		for i, e := range events {
			if g := got[k][i]; g.Version != e.Version || g.Kind != e.Kind || string(g.Value) != string(e.Value) {
				t.Errorf("%s: event %d is %+v, want %+v", k, i, g, e.Event)
			}
		}
	}
	w.together(t, c, inGap)
}

// together demands that the events of one command stand together.
func (w *world) together(t *testing.T, c *client, inGap func(api.Key) bool) {
	t.Helper()
	type command struct {
		group              api.GroupID
		incarnation, index uint64
	}
	type name struct {
		key     api.Key
		version api.Version
	}
	of, last := map[name]command{}, map[command]int{}
	for _, e := range w.told {
		of[name{e.Key, e.Version}] = command{e.group, e.incarnation, e.index}
	}
	for i, e := range c.log {
		x := of[name{e.Key, e.Version}]
		before, ok := last[x]
		if ok && before != i-1 && !inGap(e.Key) {
			t.Errorf("events %d and %d are of one transaction, with others between", before, i)
		}
		if ok && slices.Contains(c.cuts, i) && !inGap(e.Key) {
			t.Errorf("an id stands before event %d of a transaction, and others of it before that", i)
		}
		last[x] = i
	}
}

// lacking returns the versions that were not told.
func lacking(got []api.Event, want []told) (all []told) {
	for _, e := range want {
		if !slices.ContainsFunc(got, func(g api.Event) bool { return g.Version == e.Version }) {
			all = append(all, e)
		}
	}
	return all
}
