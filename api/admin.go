package api

import "context"

// Role is what a node is.
type Role string

// The roles.
const (
	RoleServer Role = "server"
	RoleEdge   Role = "edge"
)

// Admin is what operators ask of a cluster, at any node.
type Admin interface {
	// Status describes the cluster as this node sees it; it never waits for nodes that do not answer.
	Status(ctx context.Context) (*Status, error)
	// SetPlacement makes the region own every key with the prefix. CodeConflict unless no such key exists.
	SetPlacement(ctx context.Context, prefix Key, region RegionID) error
	// Ready tells whether the node routes, serves and (a server) has caught up; the error says what is missing.
	Ready(ctx context.Context) error
}

// Status is the answer of GET /v1/cluster.
type Status struct {
	ClusterID string        `json:"cluster_id"`
	Nodes     []NodeStatus  `json:"nodes"`
	Groups    []GroupStatus `json:"groups"`
	Ranges    []RangeStatus `json:"ranges"`
	Sessions  int           `json:"sessions"`
	Leases    int           `json:"leases"`
}

// NodeStatus is one node.
type NodeStatus struct {
	Node   NodeID   `json:"node"`
	Region RegionID `json:"region"`
	Role   Role     `json:"role"`
	URL    string   `json:"url"`
	State  string   `json:"state"` // "up", "unreachable"
}

// GroupStatus is one group.
type GroupStatus struct {
	Group   GroupID  `json:"group"`
	Region  RegionID `json:"region"`
	Leader  NodeID   `json:"leader"` // "" where none is known
	Term    Term     `json:"term"`
	Voters  []NodeID `json:"voters"`
	Applied uint64   `json:"applied"` // the machine's command counter at the leader
	// Prepared counts the transactions across groups that hold keys here, Unresolved the commits decided here of which some
	// group has not been told yet. OldestPreparedSeconds is since when the leader has seen the oldest of the former, looking
	// every 5 s.
	Prepared              int     `json:"prepared"`
	Unresolved            int     `json:"unresolved"`
	OldestPreparedSeconds float64 `json:"oldest_prepared_seconds"`
	// Locked are keys that transactions hold whose decision groups do not answer, at most a hundred of them.
	Locked []Lock `json:"locked,omitempty"`
}

// RangeStatus is one range of the placement map and one of its owners; a region with several groups has a row each.
type RangeStatus struct {
	Start Key     `json:"-"` // rendered as start or start_base64
	End   Key     `json:"-"`
	Group GroupID `json:"group"`
	Epoch uint64  `json:"epoch"`
}
