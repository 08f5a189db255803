package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/fsm"
)

// How often a leader checks whether all members of its group know a newer level, and how long one check may take.
const (
	raiseEvery   = 2 * time.Second
	raiseTimeout = 2 * time.Second
)

// raise brings the groups that this node leads to the newest level that all their members know.
func (n *replicas) raise() {
	for _, x := range n.open.all() {
		n.raiseMember(x)
	}
}

func (n *replicas) raiseMember(x *member) {
	if x.authority == nil || !x.raft.IsLeader() || x.machine.Level() >= fsm.NewestLevel {
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, raiseTimeout)
	defer cancel()
	err := x.authority.Raise(ctx, func(ctx context.Context) fsm.Level { return n.levelOf(ctx, x.raft.Configured()) })
	if err != nil {
		n.log.Debug("could not raise the level of a group", "group", x.group, "error", err)
	}
}

// levelOf is the newest level that all the nodes know. A node that does not answer counts as one that knows no levels.
func (n *replicas) levelOf(ctx context.Context, nodes []string) fsm.Level {
	levels := make([]fsm.Level, len(nodes))
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() {
			if r, err := reportOf(ctx, n.pool.Remote(api.NodeID(node))); err == nil {
				levels[i] = r.Level
			}
		})
	}
	wg.Wait()
	all := fsm.NewestLevel
	for _, level := range levels {
		all = min(all, max(level, fsm.Level1))
	}
	return all
}

// upToDate is a roster that adds no member whose program is older than this one: the group may be at the newest level soon, and
// such a member could not follow its log.
type upToDate struct {
	roster
	level func(ctx context.Context, nodes []string) fsm.Level
}

// AddMember asks the node first.
func (u upToDate) AddMember(ctx context.Context, m replica.Member, prevIndex uint64) error {
	if level := u.level(ctx, []string{m.Node}); level < fsm.NewestLevel {
		return api.Errorf(api.CodeUnavailable,
			"node %s does not answer, or runs an older version: it knows level %d and must know level %d; upgrade it", m.Node, level, fsm.NewestLevel)
	}
	return u.roster.AddMember(ctx, m, prevIndex)
}
