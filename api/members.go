package api

import (
	"context"
	"time"
)

// Members is what operators order of the nodes and groups of a cluster. Servers answer it; an edge refuses it with CodeDenied. What
// is ordered stands in the placement map when a call returns, and the [Progress] says what it still waits for: the same call,
// repeated, does no harm and says what is left. CodeConflict says why an order is refused, CodeNotFound that there is no such node,
// group or region, CodeAmbiguous that the order may have been given: repeat it.
type Members interface {
	// Drain has the node lead nothing, give its leases back and take no new clients; it still votes. It ends after the time
	// limit, 0 for never, or with Undrain. It is refused if no other voter of a group of the node could lead.
	Drain(ctx context.Context, node NodeID, limit time.Duration) (*Progress, error)
	// Undrain ends a drain, or the leaving of a node that is still there.
	Undrain(ctx context.Context, node NodeID) (*Progress, error)
	// Leave drains the node, gives its places to others and removes it. It is refused if fewer nodes could fail afterwards, unless
	// forced, and in any case if a group would have no living majority.
	Leave(ctx context.Context, node NodeID, force bool) (*Progress, error)
	// Remove removes a node for good, which every node refuses from then on. It is refused for a server that answers, unless forced,
	// and as Leave is.
	Remove(ctx context.Context, node NodeID, force bool) (*Progress, error)
	// Replace gives the places of one server to another one of its region, and removes it. It is refused as Leave is.
	Replace(ctx context.Context, node, by NodeID, force bool) (*Progress, error)
	// Transfer has another voter lead the group: the given one, or any that has caught up if it is "".
	Transfer(ctx context.Context, group GroupID, to NodeID) (*Progress, error)
	// RemoveRegion removes a region that owns no keys, with its groups and servers.
	RemoveRegion(ctx context.Context, region RegionID) (*Progress, error)
}

// Progress is how far an order has come.
type Progress struct {
	Done bool `json:"done"`
	// Waits says in words what is still to happen, the next first; nothing if Done.
	Waits []string `json:"waits,omitempty"`
	// Note says in words what was done, or what the operator should know.
	Note string `json:"note,omitempty"`
}
