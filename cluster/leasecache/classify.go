package leasecache

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
)

// Classify is what a call about the key counts as at this node. A read that may be answered here counts as Leased, and is never
// refused. So does one that may be stale, since it waits for no other request; any other call is a Request. With the class comes
// the refusal if only the key's owner can answer, and that is known to have more to do than it can, with what may be on its way of
// the requests that have begun here. The refusal is shared: the
// caller does not change it. It does not block.
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
