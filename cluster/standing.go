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
	var heard hearsay
	b.every(standEvery, n.membership.view.Changed, func() {
		m := n.membership.view.Map()
		if m == nil {
			return
		}
		self, ok := m.Node(n.cfg.ID)
		if removed := heard.removed(n.membership.security.standing.Load(), m); !ok || removed {
			n.wasDropped(m, known, removed)
			return
		}
		known = true
		n.follow(b.ctx, self)
	})
	return ending(b.close), nil
}

// hearsay is what servers have said of a node that they refuse, while no newer map reaches it.
type hearsay struct {
	last    *Standing
	version uint64 // of the map that the node went by
	unknown int    // how many times it was said since that the node is not known
}

// unknownTimes is how many refusals a node that its own map names takes for its removal. Servers look for a newer map before they
// refuse a node that theirs does not name. Of edges that were removed the map says nothing more.
const unknownTimes = 10

// removed reports whether the servers have said that the node was removed.
func (h *hearsay) removed(st *Standing, m *placement.Map) bool {
	if m.Version != h.version {
		h.version, h.unknown = m.Version, 0
	}
	if st == nil || st == h.last {
		return st != nil && st.Why == string(join.WhyRemoved)
	}
	h.last = st
	if st.Why == string(join.WhyUnknown) {
		h.unknown++
	}
	return st.Why == string(join.WhyRemoved) || h.unknown >= unknownTimes
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
	n.replicas.handOverLeads(ctx, false)
	n.drainedAt.Store(!slices.ContainsFunc(n.members.all(), func(x *member) bool { return x.raft.IsLeader() }))
}

// removedWhy is why the cluster refuses a node that was removed.
const removedWhy = "it was removed"

// wasDropped ends the node if it was removed from the cluster. known reports whether an earlier map has named it, and refused whether
// servers have answered that it was removed.
func (n *Node) wasDropped(m *placement.Map, known, refused bool) {
	if !refused && !gone(m, n.cfg.ID) && (!known || m.Level < placement.LevelIdentity) {
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
