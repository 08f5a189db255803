package leasecache

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Held is a cached key as an auditor sees it.
type Held struct {
	Entry   api.Entry
	Lease   ident.LeaseID
	Group   api.GroupID
	Session ident.SessionID
	// Servable reports whether the entry would answer a linearizable read at this instant of this node's clocks.
	Servable bool
}

// Audit calls visit with everything cached, a shard at a time. Each entry is judged at the moment of its visit. Audit
// changes nothing and holds no mutex while it visits. It is for tests and for the inspection of a node.
func (c *Cache) Audit(visit func(Held)) {
	for i := range c.entries.shards {
		sh := &c.entries.shards[i]
		var all []*entry
		sh.mu.Lock()
		sh.table.each(func(en *entry) { all = append(all, en) })
		sh.mu.Unlock()
		for _, en := range all {
			visit(c.held(en))
		}
	}
}

// AuditKey is Audit of one key. It returns false if the key is not cached.
func (c *Cache) AuditKey(k api.Key) (Held, bool) {
	en := c.entries.get(c.entries.hasher.hash(k), k)
	if en == nil || en.gone.Load() {
		return Held{}, false
	}
	return c.held(en), true
}

func (c *Cache) held(en *entry) Held {
	h := Held{Group: en.session.group.id, Session: en.session.id, Lease: en.lease}
	now := c.cfg.Clock.Now()
	en.answer(en.key, now, &h.Entry)
	h.Servable = !c.closed.Load() && en.servable(now)
	return h
}
