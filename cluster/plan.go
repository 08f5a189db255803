package cluster

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Planned is a planet whose nodes are all known before the first one starts.
type Planned struct {
	ClusterID string
	Nodes     []PlannedNode
	// Prefixes are regions that own the keys that begin with their name and a slash. The region of the first server owns
	// all others.
	Prefixes []api.RegionID
}

// PlannedNode is one of its nodes.
type PlannedNode struct {
	ID      api.NodeID
	Region  api.RegionID
	Role    api.Role
	Address string
}

// Plan is the map to give to every node as Config.Static.
func Plan(p Planned, groups, voters int) (*placement.Map, error) {
	var nodes []placement.Node
	for _, n := range p.Nodes {
		nodes = append(nodes, placement.Node{ID: n.ID, Region: n.Region, Role: n.Role, Address: n.Address, URL: "http://" + n.Address})
	}
	return placement.Static(p.ClusterID, nodes, groups, voters, p.Prefixes...)
}

// QuickWideTiming is the meta group's timing if nothing but latency lies between regions: in development and tests.
func QuickWideTiming() replica.Timing { return replica.WideTiming().Scale(1.0 / 3) }
