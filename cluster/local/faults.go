package local

import (
	"context"
	"net"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// CutRegions cuts two regions off from each other, as [api.Dev] does. It is for a planet whose [Config].Faults is set.
func (p *Planet) CutRegions(a, b api.RegionID) error {
	if err := p.checkLink(a, b); err != nil {
		return err
	}
	p.cuts.Cut(string(a), string(b))
	return nil
}

// HealRegions undoes CutRegions; every cut if both names are "".
func (p *Planet) HealRegions(a, b api.RegionID) error {
	if a == "" && b == "" {
		p.cuts.HealAll()
		return nil
	}
	if err := p.checkLink(a, b); err != nil {
		return err
	}
	p.cuts.Heal(string(a), string(b))
	return nil
}

func (p *Planet) checkLink(a, b api.RegionID) error {
	for _, r := range [2]api.RegionID{a, b} {
		if !slices.Contains(p.regions, r) {
			return api.Errorf(api.CodeNotFound, "the planet has no region %.100q; its regions are %v", r, p.regions)
		}
	}
	if a == b {
		return api.Errorf(api.CodeInvalid, "region %s cannot be cut off from itself: name two regions", a)
	}
	return nil
}

// status returns the planet and the faults in force, as the node self sees itself.
func (p *Planet) status(self api.NodeID) *api.DevStatus {
	s := &api.DevStatus{Regions: p.regions, Cuts: []api.DevCut{}}
	for _, c := range p.cuts.All() {
		s.Cuts = append(s.Cuts, api.DevCut{A: api.RegionID(c[0]), B: api.RegionID(c[1])})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, n := range p.nodes {
		state := api.DevStarting
		if i < len(p.places) {
			state = p.places[i].state
		}
		s.Nodes = append(s.Nodes, api.DevNode{Node: n.Node, Region: n.Region, Role: n.Role, URL: n.URL, State: state, Self: n.Node == self})
	}
	return s
}

// link makes a connection from a region as slow as the table says, and holds it up while a cut lies between.
func (p *Planet) link(c net.Conn, from, to api.RegionID) net.Conn {
	if !p.faults {
		return p.table.Delay(c, string(from), string(to))
	}
	return p.cuts.Delay(p.table, c, string(from), string(to))
}

// dial connects a node of a region to an address, once no cut lies between.
func (p *Planet) dial(ctx context.Context, from api.RegionID, address string) (net.Conn, error) {
	to := from
	for i := range p.nodes { // of which the regions do not change, but the URLs do
		if p.addresses[i] == address {
			to = p.nodes[i].Region
		}
	}
	return p.cuts.Dial(ctx, string(from), string(to), func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	})
}

// devAt is the planet as one of its nodes offers it.
type devAt struct {
	planet *Planet
	self   api.NodeID
}

var _ api.Dev = devAt{}

func (d devAt) DevStatus(context.Context) (*api.DevStatus, error) {
	return d.planet.status(d.self), nil
}

func (d devAt) CutRegions(_ context.Context, a, b api.RegionID) (*api.DevStatus, error) {
	return d.after(d.planet.CutRegions(a, b))
}

func (d devAt) HealRegions(_ context.Context, a, b api.RegionID) (*api.DevStatus, error) {
	return d.after(d.planet.HealRegions(a, b))
}

func (d devAt) StopNode(ctx context.Context, node api.NodeID) (*api.DevStatus, error) {
	if node == d.self {
		return nil, api.Errorf(api.CodeConflict, "node %s is the one that you ask: ask another node to stop it", node)
	}
	return d.after(d.planet.StopNode(ctx, node))
}

func (d devAt) StartNode(ctx context.Context, node api.NodeID) (*api.DevStatus, error) {
	return d.after(d.planet.StartNode(ctx, node))
}

func (d devAt) after(err error) (*api.DevStatus, error) {
	if err != nil {
		return nil, err
	}
	return d.planet.status(d.self), nil
}
