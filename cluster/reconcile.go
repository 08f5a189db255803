package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/fsm/placement"
)

// How often a node compares its replicas with the map, beside doing so at each change of the map, and how long one change of a
// group's members may take.
const (
	reconcileEvery   = 500 * time.Millisecond
	reconcileTimeout = 10 * time.Second
)

// reconcile brings the replicas here in line with the map: it opens replicas, and leads changes of members.
func (n *replicas) reconcile() {
	if err := n.openMembers(); err != nil {
		n.log.Error("a replica could not be opened", "error", err)
	}
	m := n.view.Map()
	if m == nil {
		return
	}
	for _, x := range n.open.all() {
		if g, ok := m.Group(x.group); ok {
			n.reconcileMember(x, g, m)
		}
	}
}

// reconcileMember leads a step towards the members that the map wants, or ends a replica that was removed.
func (n *replicas) reconcileMember(x *member, g placement.Group, m *placement.Map) {
	if !slices.Contains(g.Voters, n.cfg.ID) && !x.raft.IsMember() && n.open.remove(x) {
		n.log.Info("this node is not a member of the group any more", "group", g.ID)
		if err := x.close(); err != nil {
			n.log.Warn("a replica did not close cleanly", "group", g.ID, "error", err)
		}
		return
	}
	roster := roster(x.raft)
	if x.authority != nil {
		roster = upToDate{roster, n.levelOf}
	}
	if err := reconcile(n.ctx, roster, g, m); err != nil {
		n.log.Warn("a change of members did not succeed; trying again", "group", x.group, "error", err)
	}
}

// roster is a replica as a leader that changes its group's members needs it.
type roster interface {
	IsLeader() bool
	Members() ([]replica.Member, uint64)
	AddMember(ctx context.Context, m replica.Member, prevIndex uint64) error
	PromoteMember(ctx context.Context, node string, prevIndex uint64) error
	UpdateAddress(ctx context.Context, node, address string, prevIndex uint64) error
	RemoveMember(ctx context.Context, node string, prevIndex uint64) error
	Transfer(ctx context.Context, to string) error
	CaughtUp(node string) bool
	Leader() (node string, term uint64)
}

// reconcile takes one step that brings the group's members nearer to the map, if this node leads it: correct an address, promote
// a member that has caught up, add one that is missing or, when all that the map names vote, remove one that it does not name.
func reconcile(ctx context.Context, r roster, g placement.Group, m *placement.Map) error {
	if !r.IsLeader() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reconcileTimeout)
	defer cancel()
	members, index := r.Members()
	for _, have := range members {
		n, ok := m.Node(api.NodeID(have.Node))
		switch {
		case ok && n.Address != have.Address:
			return r.UpdateAddress(ctx, have.Node, n.Address, index)
		case !have.Voter && slices.Contains(g.Voters, api.NodeID(have.Node)) && r.CaughtUp(have.Node):
			return r.PromoteMember(ctx, have.Node, index)
		}
	}
	settled := len(members) > 0
	for _, want := range g.Voters {
		i := slices.IndexFunc(members, func(h replica.Member) bool { return h.Node == string(want) })
		settled = settled && i >= 0 && members[i].Voter
		if n, ok := m.Node(want); ok && i < 0 && index > 0 {
			return r.AddMember(ctx, replica.Member{Node: string(want), Address: n.Address}, index)
		}
	}
	if !settled {
		return nil // no member is removed before all that the map names vote
	}
	return removeOne(ctx, r, g, members, index)
}

// removeOne removes a member that the map does not name. A leader that it does not name first hands over.
func removeOne(ctx context.Context, r roster, g placement.Group, members []replica.Member, index uint64) error {
	self, _ := r.Leader()
	for _, have := range members {
		switch {
		case slices.Contains(g.Voters, api.NodeID(have.Node)):
		case have.Node == self:
			return r.Transfer(ctx, string(g.Voters[0]))
		default:
			return r.RemoveMember(ctx, have.Node, index)
		}
	}
	return nil
}

// founders are the voters that found the group: all of them if the whole planet was known before, else one.
func founders(g placement.Group, m *placement.Map, static bool) []replica.Member {
	ids := []api.NodeID{g.Founder}
	if static {
		ids = g.Voters
	}
	var all []replica.Member
	for _, id := range ids {
		if n, ok := m.Node(id); ok {
			all = append(all, replica.Member{Node: string(id), Address: n.Address, Voter: true})
		}
	}
	return all
}
