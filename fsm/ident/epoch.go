package ident

// NextEpoch returns the least epoch at which a range may go to other groups, if a group that owns it at the epoch has counted its
// commands so far. A lock's fence is its version as one integer, (epoch << 40) + index. So the new owner's fences are above those of
// the old one, also if that has counted beyond 40 bits.
func NextEpoch(epoch, counted uint64) uint64 { return epoch + 1 + counted>>40 }
