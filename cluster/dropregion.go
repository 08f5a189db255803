package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// RemoveRegion implements api.Members. Votes of its servers in the meta group go to servers of other regions first. A region without
// servers and groups is removed already, or never was: no record is kept of regions, so the answer only says that nothing is left.
func (n *Node) RemoveRegion(ctx context.Context, region api.RegionID) (*api.Progress, error) {
	p, err := n.prospect(ctx, "region remove")
	if err != nil {
		return nil, err
	}
	groups := p.GroupsOf(region)
	if len(groups) == 0 {
		return n.nothingLeft(ctx, p, region)
	}
	if owned := p.RangesOf(region); owned > 0 {
		return nil, conflict("%s owns %d ranges: move them first", region, owned)
	}
	if err := n.settledGroups(ctx, p, groups); err != nil {
		return nil, err
	}
	if moved, err := n.moveMetaVotes(ctx, p, region); err != nil || moved {
		return &api.Progress{Waits: []string{"the meta group gives the votes of " + string(region) + " to other regions"}}, err
	}
	if waits := p.metaVotesIn(region); len(waits) > 0 {
		return &api.Progress{Waits: waits}, nil
	}
	m, err := n.change(ctx, placement.DropRegion{Region: region})
	if err != nil {
		return nil, err
	}
	out := n.refusedEverywhere(ctx, p, m)
	if out.Done {
		out.Note = fmt.Sprintf("region %s is removed; its servers end, and their folders stay as they are", region)
	}
	return out, nil
}

// nothingLeft answers for a region without groups: of one that was removed before, some nodes may not know it yet.
func (n *Node) nothingLeft(ctx context.Context, p *prospect, region api.RegionID) (*api.Progress, error) {
	if region == "" {
		return nil, api.Errorf(api.CodeInvalid, "name a region")
	}
	out := n.refusedEverywhere(ctx, p, p.Map)
	if out.Done {
		out.Note = fmt.Sprintf("region %s has no servers and no groups: it was removed before, or never was", region)
	}
	return out, nil
}

// settledGroups refuses to drop groups that still settle transactions, or that cannot be asked.
func (n *Node) settledGroups(ctx context.Context, p *prospect, groups []api.GroupID) error {
	status := map[api.GroupID]api.GroupStatus{}
	for i, r := range n.reports(ctx, p.Map) {
		if r == nil {
			continue
		}
		for _, g := range r.Groups {
			status[g.Group] = better(status[g.Group], g, p.Nodes[i].ID)
		}
	}
	for _, id := range groups {
		g, known := status[id]
		switch {
		case !known || g.Leader == "":
			return conflict("%s has no leader that answers: it may still decide transactions", id)
		case g.Prepared+g.Unresolved > 0:
			return conflict("%s still settles %d transactions: try again", id, g.Prepared+g.Unresolved)
		}
	}
	return nil
}

// moveMetaVotes gives the places of the region's servers in the meta group to others. It reports whether anything was changed.
func (n *Node) moveMetaVotes(ctx context.Context, p *prospect, region api.RegionID) (moved bool, err error) {
	g, _ := p.Group(ident.MetaGroup)
	after, rest := slices.Clone(g.Voters), p.Without(region)
	for i := 0; i < len(after); {
		if o, _ := p.Node(after[i]); o.Region != region {
			i++
			continue
		}
		moved = true
		next := g
		next.Voters = after
		if spare := p.spareOf(rest, next, after[i]); spare != "" {
			after[i] = spare
		} else {
			after = slices.Delete(after, i, i+1)
		}
	}
	if !moved {
		return false, nil
	}
	if err := p.judge(g, after, len(after) >= rest.WantedVoters(g)); err != nil {
		return false, err
	}
	_, err = n.change(ctx, placement.Place{Group: g.ID, Was: g.Voters, Voters: after})
	return true, err
}

// spareOf is a server that answers and that, by the map m, may take the place of a voter in the group; "" if there is none.
func (p *prospect) spareOf(m *placement.Map, g placement.Group, out api.NodeID) api.NodeID {
	for _, id := range m.Spares(g, out) {
		if p.answering(id) {
			return id
		}
	}
	return ""
}

// metaVotesIn says which servers of the region are still members of the meta group, and what that waits for.
func (p *prospect) metaVotesIn(region api.RegionID) (waits []string) {
	g, _ := p.Group(ident.MetaGroup)
	led, known := p.groups[g.ID]
	if !known {
		return []string{"the meta group has no leader that answers"}
	}
	for _, x := range led.Members {
		if o, _ := p.Node(x.Node); o.Region != region {
			continue
		}
		if next := catchesUp(g, led); next != "" {
			waits = append(waits, fmt.Sprintf("%s catches up in %s", next, g.ID))
		} else {
			waits = append(waits, fmt.Sprintf("%s takes the vote of %s away", g.ID, x.Node))
		}
	}
	return waits
}
