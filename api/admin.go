package api

import "context"

// Role is the kind of a node.
type Role string

// The roles: a server stores data, an edge serves reads from leases.
const (
	RoleServer Role = "server"
	RoleEdge   Role = "edge"
)

// Admin is what operators ask of a cluster. Every node answers it.
type Admin interface {
	// Status describes the cluster as this node sees it. It never waits for nodes that do not answer.
	Status(ctx context.Context) (*Status, error)
	// SetPlacement makes the region own every key with the prefix. It returns CodeConflict unless no such key exists.
	SetPlacement(ctx context.Context, prefix Key, region RegionID) error
	// SetPlacementGroup makes one group of a region own every key with the prefix. It returns CodeConflict unless no such key
	// exists, and CodeInvalid if there is no such group or it is one of several that divide the keys among themselves.
	SetPlacementGroup(ctx context.Context, prefix Key, group GroupID) error
	// Ready returns nil if the node routes, serves and, if it is a server, has caught up. Otherwise the error says what is
	// missing.
	Ready(ctx context.Context) error
}

// Status is the state of the cluster as one node sees it: the answer of GET /v1/cluster.
type Status struct {
	ClusterID string `json:"cluster_id"`
	// Security is "plain", "both" or "tls": whether the ports of nodes speak TLS. Level is that of the placement map.
	Security string        `json:"security,omitempty"`
	Level    int           `json:"level,omitempty"`
	Nodes    []NodeStatus  `json:"nodes"`
	Groups   []GroupStatus `json:"groups"`
	Ranges   []RangeStatus `json:"ranges"`
	Sessions int           `json:"sessions"`
	Leases   int           `json:"leases"`
	// Troubles says in words what an operator has to do something about, as the leader of the placement map's group sees it.
	Troubles []string `json:"troubles,omitempty"`
}

// NodeStatus is the state of one node.
type NodeStatus struct {
	Node   NodeID   `json:"node"`
	Region RegionID `json:"region"`
	Role   Role     `json:"role"`
	URL    string   `json:"url"`
	State  string   `json:"state"` // "up", "draining", "leaving", "refused" or "unreachable"
	// Reason is why the cluster refuses the node; "" unless State is "refused".
	Reason string `json:"reason,omitempty"`
	// Level is the newest of the placement map that the node's program knows, and MapVersion that of the map that the node goes by.
	// They are 0 if the node does not answer.
	Level      int    `json:"level,omitempty"`
	MapVersion uint64 `json:"map_version,omitempty"`
}

// GroupStatus is the state of one group.
type GroupStatus struct {
	Group   GroupID  `json:"group"`
	Region  RegionID `json:"region"`
	Leader  NodeID   `json:"leader"` // "" if unknown
	Term    Term     `json:"term"`
	Voters  []NodeID `json:"voters"`
	Applied uint64   `json:"applied"` // the state machine's command counter at the leader
	// Prepared counts the transactions across groups that hold keys of this group. Unresolved counts the commits decided by this
	// group that some other group has not learned yet. OldestPreparedSeconds is how long the leader has seen the oldest prepared
	// transaction, in seconds. The leader looks every 5 s.
	Prepared              int     `json:"prepared"`
	Unresolved            int     `json:"unresolved"`
	OldestPreparedSeconds float64 `json:"oldest_prepared_seconds"`
	// Locked lists keys held by transactions whose decision groups do not answer, at most 100 of them.
	Locked []Lock `json:"locked,omitempty"`
}

// RangeStatus is one range of the placement map and one of its owners. A region with several groups has one row for each group.
type RangeStatus struct {
	Start Key     `json:"-"` // rendered as start or start_base64
	End   Key     `json:"-"`
	Group GroupID `json:"group"`
	Epoch uint64  `json:"epoch"`
}
