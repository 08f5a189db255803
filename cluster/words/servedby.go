package words

import "github.com/edgehold/edgehold/api"

// Weaker returns the weaker of two: stale is weaker than owner, and owner weaker than lease.
func Weaker(a, b api.ServedBy) api.ServedBy {
	switch {
	case a == api.ServedByStale || b == api.ServedByStale:
		return api.ServedByStale
	case a == api.ServedByOwner || b == api.ServedByOwner:
		return api.ServedByOwner
	}
	return api.ServedByLease
}
