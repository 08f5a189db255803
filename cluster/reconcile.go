package cluster

import (
	"context"
	"fmt"
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
	roster := upToDate{x.raft, n.knowsGroups}
	if x.meta != nil {
		roster.knows = n.knowsMaps
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
	// Silent is how long a member has certainly not answered this leader, and whether it has answered lately.
	Silent(node string) (since time.Duration, heard bool)
	// Lag is how many entries of the log a member lacks, as its leader knows; false if it does not know.
	Lag(node string) (entries uint64, known bool)
	Leader() (node string, term uint64)
}

// change is one change of a group's members, at the leader.
type change struct {
	group   placement.Group // as it should be
	nodes   *placement.Map
	roster  roster
	members []replica.Member // as they are
	index   uint64           // of that configuration
}

// reconcile takes one step that brings the group's members nearer to the map, if this node leads it: correct an address, promote
// a member that has caught up, add one that is missing, or remove one that the map does not name. A voter that answers gives its
// place up after the new one has its vote; one that is silent before that, since it would count against the others. Nothing
// happens unless the voters that answer are a majority before the step and after it.
func reconcile(ctx context.Context, r roster, g placement.Group, m *placement.Map) error {
	if !r.IsLeader() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reconcileTimeout)
	defer cancel()
	c := &change{group: g, nodes: m, roster: r}
	c.members, c.index = r.Members()
	if !c.lives(c.members) {
		return nil
	}
	for _, have := range c.members {
		n, ok := m.Node(api.NodeID(have.Node))
		switch {
		case ok && n.Address != have.Address:
			return r.UpdateAddress(ctx, have.Node, n.Address, c.index)
		case !have.Voter && c.wants(have) && r.CaughtUp(have.Node):
			return c.promote(ctx, have)
		}
	}
	settled := len(c.members) > 0
	for _, want := range g.Voters {
		i := slices.IndexFunc(c.members, func(h replica.Member) bool { return h.Node == string(want) })
		settled = settled && i >= 0 && c.members[i].Voter
		if n, ok := m.Node(want); ok && i < 0 && c.index > 0 {
			return r.AddMember(ctx, replica.Member{Node: string(want), Address: n.Address}, c.index)
		}
	}
	for _, have := range c.members {
		if !have.Voter && !c.wants(have) {
			return r.RemoveMember(ctx, have.Node, c.index)
		}
	}
	if !settled {
		return nil // no voter is removed before all that the map names vote
	}
	return c.removeOne(ctx)
}

// wants reports whether the map names the member.
func (c *change) wants(have replica.Member) bool {
	return slices.Contains(c.group.Voters, api.NodeID(have.Node))
}

// lives reports whether a majority of the voters among the members has answered lately.
func (c *change) lives(members []replica.Member) bool {
	voters, heard := 0, 0
	for _, m := range members {
		if !m.Voter {
			continue
		}
		voters++
		if _, ok := c.roster.Silent(m.Node); ok {
			heard++
		}
	}
	return heard > voters/2
}

// without are the members but for one.
func (c *change) without(node string) []replica.Member {
	return slices.DeleteFunc(slices.Clone(c.members), func(m replica.Member) bool { return m.Node == node })
}

// promote gives a learner that has caught up its vote. If the group has all its voters, one that is not wanted and silent, or removed
// from the cluster, is removed first: otherwise one voter more would be needed, and a dead one would count.
func (c *change) promote(ctx context.Context, learner replica.Member) error {
	voters, silent := 0, ""
	for _, m := range c.members {
		if !m.Voter {
			continue
		}
		voters++
		if !c.wants(m) && c.gone(m) {
			silent = m.Node
		}
	}
	if voters >= len(c.group.Voters) && silent != "" && guardRemoveDeadFirst && c.lives(c.without(silent)) {
		return c.roster.RemoveMember(ctx, silent, c.index)
	}
	learner.Voter = true
	if !c.lives(append(c.without(learner.Node), learner)) {
		return nil
	}
	return c.roster.PromoteMember(ctx, learner.Node, c.index)
}

// gone reports whether the group cannot count on the voter any more: it is silent, or was removed from the cluster.
func (c *change) gone(m replica.Member) bool {
	since, heard := c.roster.Silent(m.Node)
	_, named := c.nodes.Node(api.NodeID(m.Node))
	return !named || !heard && since >= replica.HeardWithin
}

// removeOne removes a voter that the map does not name, a silent one before others. A leader that it does not name first hands
// over to a voter that has caught up.
func (c *change) removeOne(ctx context.Context) error {
	self, _ := c.roster.Leader()
	last := ""
	for _, have := range c.members {
		if c.wants(have) || !c.lives(c.without(have.Node)) {
			continue
		}
		if _, heard := c.roster.Silent(have.Node); !heard {
			return c.roster.RemoveMember(ctx, have.Node, c.index)
		}
		if last == "" || last == self {
			last = have.Node
		}
	}
	switch last {
	case "":
		return nil
	case self:
		return c.handOver(ctx)
	}
	return c.roster.RemoveMember(ctx, last, c.index)
}

// handOver has one of the voters that the map names lead.
func (c *change) handOver(ctx context.Context) error {
	for _, v := range c.group.Voters {
		if c.roster.CaughtUp(string(v)) {
			return c.roster.Transfer(ctx, string(v))
		}
	}
	return noneCaughtUp(c.group.ID)
}

func noneCaughtUp(g api.GroupID) *api.Error {
	return &api.Error{Code: api.CodeConflict, Op: "hand over", Hint: fmt.Sprintf("no other voter of %s has caught up", g)}
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
