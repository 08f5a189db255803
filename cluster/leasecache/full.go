package leasecache

import "github.com/edgehold/edgehold/api"

// Full is the refusal of a call that only the key's owner could answer, where that is known to have more to do than it can;
// nil: the call may be carried out. Reads that may be answered here are never refused. begun requests are under way at
// this node. The error is shared: it is not to be changed. It does not block.
func (c *Cache) Full(k api.Key, writes bool, level api.Consistency, begun int64) *api.Error {
	refusal := c.cfg.Full(k, begun)
	if refusal == nil || !writes && level != api.Quorum && c.entries.get(c.entries.hasher.hash(k), k) != nil {
		return nil
	}
	return refusal
}
