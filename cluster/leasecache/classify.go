package leasecache

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
)

// Classify returns the class of a call about the key at this node. A read that may be answered here is Leased, and is
// never refused. So is a read that may be stale, since it waits for no other request. Any other call is a Request. With
// the class Classify returns the refusal if only the key's owner can answer and that owner is known to be overloaded.
// The owner's load includes what may be on its way of the requests that have begun here. The refusal is shared, and the
// caller must not change it. Classify does not block.
func (c *Cache) Classify(k api.Key, writes bool, level api.Consistency, begun int) (admission.Class, *api.Error) {
	switch {
	case writes || level == api.Quorum:
		return admission.Request, c.cfg.Full(k, begun)
	case c.entries.get(c.entries.hasher.hash(k), k) != nil:
		return admission.Leased, nil
	case level != api.Linearizable:
		return admission.Leased, c.cfg.Full(k, begun)
	}
	return admission.Request, c.cfg.Full(k, begun)
}
