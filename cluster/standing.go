package cluster

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/fsm/placement"
)

// standEvery is how often a node looks what the map has ordered of it, beside at each change of the map.
const standEvery = time.Second

// openStanding has the node follow what the map orders of it: to drain, or that it was removed.
func (n *Node) openStanding() (func() error, error) {
	b := newBackground()
	known := false // the map has named this node since it was started
	b.every(standEvery, n.membership.view.Changed, func() {
		m := n.membership.view.Map()
		if m == nil {
			return
		}
		self, ok := m.Node(n.cfg.ID)
		if st, refused := n.Standing(); !ok || refused && st.Why == string(join.WhyRemoved) {
			n.wasDropped(m, known)
			return
		}
		known = true
		n.follow(b.ctx, self)
	})
	return ending(b.close), nil
}

// follow gives leases and leads back while the node is to drain or to leave.
func (n *Node) follow(ctx context.Context, self placement.Node) {
	draining := self.State != placement.Active
	n.cache.Suspend(draining)
	if !draining {
		n.drainedAt.Store(false)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	n.replicas.handOverLeads(ctx)
	n.drainedAt.Store(!slices.ContainsFunc(n.members.all(), func(x *member) bool { return x.raft.IsLeader() }))
}

// removedWhy is why the cluster refuses a node that was removed.
const removedWhy = "it was removed"

// wasDropped ends the node if it was removed from the cluster. known reports whether an earlier map has named it.
func (n *Node) wasDropped(m *placement.Map, known bool) {
	if st, refused := n.Standing(); !gone(m, n.cfg.ID) && !(refused && st.Why == string(join.WhyRemoved)) && (!known || m.Level < placement.LevelIdentity) {
		return // it has not joined yet
	}
	if n.membership.refusedWhy() == removedWhy {
		return
	}
	n.membership.refuse(removedWhy)
	n.log.Error("this node was removed from the cluster", "cluster", m.ClusterID)
	if n.cfg.OnRemoved != nil {
		n.cfg.OnRemoved(api.Errorf(api.CodeConflict, "node %s was removed from the cluster: to use this machine again, start a node under a new name with an empty --data", n.cfg.ID))
	}
}

// named is the nodes of one map, for a look-up that is cheap.
type named struct {
	by  *placement.Map
	ids map[api.NodeID]struct{}
}

// names finds nodes in the newest map.
type names struct{ now atomic.Pointer[named] }

// has reports whether the map names the node.
func (r *names) has(m *placement.Map, id api.NodeID) bool {
	x := r.now.Load()
	if x == nil || x.by != m {
		x = &named{by: m, ids: make(map[api.NodeID]struct{}, len(m.Nodes))}
		for _, n := range m.Nodes {
			x.ids[n.ID] = struct{}{}
		}
		r.now.Store(x)
	}
	_, ok := x.ids[id]
	return ok
}

// removed reports whether the map known here does not name the node: it was removed, or is not known here yet.
func (n *network) removed(id api.NodeID) bool {
	m := n.view.Map()
	return m != nil && !n.names.has(m, id)
}
