package leasecache

import (
	"bytes"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// validateLeases marks the conditions in t, which spans groups, that leases of this node cover. The leases show that
// the conditions hold now, and, when checked again after everything else is locked, that they have held since.
// A condition on a key that t writes is left to the key's group.
func (c *Cache) validateLeases(t *words.Txn) {
	if len(t.If) == 0 || !t.SeveralGroups {
		return
	}
	written := map[api.Key]bool{}
	for _, k := range t.WrittenKeys() {
		written[k] = true
	}
	var held []*entry
	var keys []api.Key
	now := c.cfg.Clock.Now()
	for i := range t.If {
		cond := &t.If[i]
		en := c.entries.get(c.entries.hasher.hash(cond.Key), cond.Key)
		if written[cond.Key] || en == nil || !en.servable(now) || !en.meets(cond, now) {
			continue
		}
		t.Leased = append(t.Leased, i)
		held, keys = append(held, en), append(keys, cond.Key)
	}
	if len(held) == 0 {
		return
	}
	t.LeasesHeld = func() bool {
		for i, k := range keys { // looked up before the clock is read, as for a read
			if c.entries.get(c.entries.hasher.hash(k), k) != held[i] {
				return false
			}
		}
		now := c.cfg.Clock.Now()
		for _, en := range held {
			if !en.servable(now) {
				return false
			}
		}
		return true
	}
}

// meets reports whether the condition holds for the entry.
func (en *entry) meets(c *api.Cond, t words.ClockSample) bool {
	var x api.Entry
	en.answer(c.Key, t, &x)
	switch c.Kind {
	case api.CondVersion:
		return x.Version == c.Version
	case api.CondExists:
		return x.Exists
	case api.CondAbsent:
		return !x.Exists
	}
	return x.Exists && bytes.Equal(x.Value, c.Value)
}
