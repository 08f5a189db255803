package group

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
)

// bars are the nodes for the expiry of whose sessions writes have had to wait. A node that does so again and again, each
// time under a new session, would delay every write of the keys it leases. The zero value is ready to use. The
// authority's mutex guards it.
type bars map[api.NodeID][]time.Time // when, the oldest first

const (
	// An edge that has made writes wait for its expiry barAfter times within barWithin gets no lease in the group until
	// barWithin after the last time.
	barAfter  = 2
	barWithin = 10 * time.Minute
	// maxBars bounds the nodes that are remembered.
	maxBars = 4096
)

// expired records that writes have awaited the expiry of a session of the node. It reports whether that bars the node.
func (b *bars) expired(n api.NodeID, now time.Time) (barred bool) {
	b.forget(now)
	if *b == nil {
		*b = bars{}
	}
	if _, known := (*b)[n]; !known && len(*b) >= maxBars {
		return false
	}
	times := (*b)[n]
	(*b)[n] = append(times[max(0, len(times)+1-barAfter):], now)
	return b.barred(n, now)
}

// barred reports whether the node gets no leases now.
func (b *bars) barred(n api.NodeID, now time.Time) bool {
	times := (*b)[n]
	return len(times) == barAfter && times[barAfter-1].Sub(times[0]) < barWithin && now.Sub(times[barAfter-1]) < barWithin
}

// count returns how many nodes are barred now.
func (b *bars) count(now time.Time) (n int) {
	for node := range *b {
		if b.barred(node, now) {
			n++
		}
	}
	return n
}

// forget drops what no longer counts.
func (b *bars) forget(now time.Time) {
	for n, times := range *b {
		times = slices.DeleteFunc(times, func(t time.Time) bool { return now.Sub(t) >= barWithin })
		if (*b)[n] = times; len(times) == 0 {
			delete(*b, n)
		}
	}
}
