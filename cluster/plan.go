package cluster

import (
	"net"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
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
	m, err := placement.Static(p.ClusterID, nodes, groups, voters, p.Prefixes...)
	if err == nil {
		fronts.keepTogether(m)
	}
	return m, err
}

// Identities are what the nodes of a planet prove themselves with, for Config.Identity.
type Identities map[api.NodeID]*join.Identity

// SecurePlan makes the planet of a plan speak TLS: it makes a CA, gives each node its identity, and writes the root and the pins into
// the map. The CA's key is dropped: no other node can join.
func SecurePlan(m *placement.Map) (Identities, error) {
	ca, err := join.NewCA(m.ClusterID)
	if err != nil {
		return nil, err
	}
	return secureWith(ca, m, time.Now())
}

// secureWith is SecurePlan with a CA, at a time.
func secureWith(ca *join.CA, m *placement.Map, now time.Time) (Identities, error) {
	identities := Identities{}
	nodes := slices.Clone(m.Nodes)
	for i, n := range nodes {
		names := []string{}
		if host, _, err := net.SplitHostPort(n.Address); err == nil && (join.IsHostName(host) || net.ParseIP(host) != nil) {
			names = append(names, host)
		}
		id, err := ca.Issue(join.Template{
			Subject: join.Subject{Cluster: m.ClusterID, Region: n.Region, Role: n.Role, Node: n.ID}, Names: names, Now: now,
		})
		if err != nil {
			return nil, err
		}
		pin := id.Pin()
		identities[n.ID] = id
		nodes[i].Pins, nodes[i].Num, nodes[i].URL = [][]byte{pin[:]}, uint32(i+1), "https://"+n.Address
	}
	m.Nodes, m.NextNum, m.Level = nodes, uint32(len(nodes)+1), placement.LevelIdentity
	m.Security, m.Roots = placement.TLS, [][]byte{ca.Certificate.Raw}
	return identities, m.Check()
}

// QuickWideTiming is the meta group's timing if nothing but latency lies between regions: in development and tests.
func QuickWideTiming() replica.Timing { return replica.WideTiming().Scale(1.0 / 3) }
