package cluster

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/placement"
)

// How often a leader checks whether all members of its group know a newer level, and how long one check may take.
const (
	raiseEvery   = 2 * time.Second
	raiseTimeout = 2 * time.Second
)

// raise brings the groups that this node leads to the newest level that all their members know.
func (n *replicas) raise() {
	for _, x := range n.open.all() {
		if x.raft.IsLeader() {
			n.raiseMember(x)
		}
	}
}

func (n *replicas) raiseMember(x *member) {
	ctx, cancel := context.WithTimeout(n.ctx, raiseTimeout)
	defer cancel()
	var err error
	switch {
	case x.meta != nil && n.mayRaiseMap(x.meta.Map()):
		err = x.meta.Raise(ctx, func(ctx context.Context) placement.Level {
			level := n.mapLevelOf(ctx, x.raft.Configured())
			if level > placement.LevelIdentity && guardLevelOfAll {
				level = max(placement.LevelIdentity, n.mapLevelOf(ctx, nodesOf(x.meta.Map())))
			}
			return level
		})
	case x.authority != nil && x.machine.Level() < groupLevel(n.view.Map()):
		err = x.authority.Raise(ctx, func(ctx context.Context) fsm.Level {
			return min(n.levelOf(ctx, x.raft.Configured()), groupLevel(n.view.Map()))
		})
	}
	if err != nil {
		n.log.Debug("could not raise the level of a group", "group", x.group, "error", err)
	}
}

// groupLevel returns the highest level that a group may have while the map is at its level. What a group of a level above that of
// identities says must be understood by edges too, and it is only by the level of the map that they all are known to do so.
func groupLevel(m *placement.Map) fsm.Level {
	if m == nil || m.Level < placement.LevelHistory {
		return fsm.Level2
	}
	return min(fsm.Level(m.Level), fsm.NewestLevel)
}

// nodesOf returns the ids of all nodes of the map.
func nodesOf(m *placement.Map) (nodes []string) {
	for i := range m.Nodes {
		nodes = append(nodes, string(m.Nodes[i].ID))
	}
	return nodes
}

// mayRaiseMap reports whether the level of the map is to rise as soon as the nodes that must know a higher one do: all voters of the
// meta group, and above LevelIdentity all nodes.
func (n *replicas) mayRaiseMap(m *placement.Map) bool {
	return m != nil && m.Level < placement.NewestLevel && m.Setting(placement.SettingLevelHold) == "off"
}

// levelOf is the newest level that all the nodes know. A node that does not answer counts as one that knows no levels.
func (n *replicas) levelOf(ctx context.Context, nodes []string) fsm.Level {
	all := fsm.NewestLevel
	for _, r := range n.reportsOf(ctx, nodes) {
		all = min(all, max(r.Level, fsm.Level1))
	}
	return all
}

// mapLevelOf is the same for the levels of the map.
func (n *replicas) mapLevelOf(ctx context.Context, nodes []string) placement.Level {
	all := placement.NewestLevel
	for _, r := range n.reportsOf(ctx, nodes) {
		all = min(all, r.MapLevel)
	}
	if all < placement.LevelIdentity {
		return placement.Level0 // there is none between
	}
	return all
}

// reportsOf asks the nodes. The report of one that does not answer says nothing.
func (n *replicas) reportsOf(ctx context.Context, nodes []string) []report {
	m, ask, all := n.view.Map(), make([]placement.Node, len(nodes)), make([]report, len(nodes))
	for i, id := range nodes {
		ask[i] = placement.Node{ID: api.NodeID(id)}
		if m != nil {
			if o, ok := m.Node(ask[i].ID); ok {
				ask[i] = o
			}
		}
	}
	for i, r := range askReports(ctx, n.pool, ask, reportQuestion{}) {
		if r != nil {
			all[i] = *r
		}
	}
	return all
}

// upToDate is a roster that adds no member whose program is older than this one: the group may be at the newest level soon, and
// such a member could not follow its log.
type upToDate struct {
	roster
	// knows returns the level that the node knows, and the one that it must know.
	knows func(ctx context.Context, node string) (known, newest int)
}

// knowsGroups is upToDate.knows of the members of groups.
func (n *replicas) knowsGroups(ctx context.Context, node string) (known, newest int) {
	return int(n.levelOf(ctx, []string{node})), int(fsm.NewestLevel)
}

// knowsMaps is upToDate.knows of the members of the meta group.
func (n *replicas) knowsMaps(ctx context.Context, node string) (known, newest int) {
	return int(n.mapLevelOf(ctx, []string{node})), int(placement.NewestLevel)
}

// AddMember asks the node first.
func (u upToDate) AddMember(ctx context.Context, m replica.Member, prevIndex uint64) error {
	if known, newest := u.knows(ctx, m.Node); known < newest {
		return api.Errorf(api.CodeUnavailable,
			"node %s does not answer, or runs an older version: it knows level %d and must know level %d; upgrade it", m.Node, known, newest)
	}
	return u.roster.AddMember(ctx, m, prevIndex)
}
