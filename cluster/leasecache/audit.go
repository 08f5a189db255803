package edge

import (
	"github.com/edgehold/edgehold/api"
)

// Held is a cached key as an auditor sees it.
type Held struct {
	Entry   api.Entry // with its Lease
	Group   api.GroupID
	Session api.SessionID
	// Servable: a linearizable read at this instant of this node's clocks would be answered by it.
	Servable bool
}

// Audit calls visit with everything cached, a shard at a time, each judged at the moment of the visit. It changes
// nothing and holds no mutex while it visits. For tests and for operators who look into a node.
func (e *Edge) Audit(visit func(Held)) {
	for i := range e.cache.shards {
		sh := &e.cache.shards[i]
		var all []*entry
		sh.mu.Lock()
		sh.table.each(func(en *entry) { all = append(all, en) })
		sh.mu.Unlock()
		for _, en := range all {
			visit(e.held(en))
		}
	}
}

// AuditKey is Audit of one key; false if it is not cached.
func (e *Edge) AuditKey(k api.Key) (Held, bool) {
	en := e.cache.get(e.cache.hasher.hash(k), k)
	if en == nil || en.gone.Load() {
		return Held{}, false
	}
	return e.held(en), true
}

func (e *Edge) held(en *entry) Held {
	h := Held{Group: en.session.group.id, Session: en.session.id}
	en.answer(en.key, &h.Entry)
	h.Entry.Lease = en.lease
	h.Servable = !e.closed.Load() && en.servable(e.cfg.Clock.Now())
	return h
}
