package cluster

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/placement"
)

var methodDepart = peer.NewMethod[peer.Nothing, peer.Nothing]("Depart", admission.Control, peer.Nodes)

// departTimeout bounds how long an ephemeral edge that stops tries to be removed from the cluster.
const departTimeout = 2 * time.Second

// registerDepart has a server remove the ephemeral edge that calls.
func (n *Node) registerDepart(s *peer.Server) {
	methodDepart.Handle(s, func(ctx context.Context, _ *peer.Nothing) (*peer.Nothing, error) {
		if n.cfg.Role != api.RoleServer {
			return nil, conflict("node %s is an edge and removes no other", n.cfg.ID)
		}
		id := peer.CallerFrom(ctx).Node
		m, err := n.changes.Get(ctx)
		if err != nil {
			return nil, err
		}
		if o, ok := m.Node(id); !ok || !o.Ephemeral || o.Role != api.RoleEdge {
			return nil, conflict("node %s is no ephemeral edge of the cluster", id)
		}
		_, err = n.change(ctx, placement.Retire{Node: id})
		return &peer.Nothing{}, err
	})
}

// depart removes this node from the cluster, if it is an ephemeral edge that stops. If no server answers in time, the steward does it
// later.
func (n *Node) depart() {
	m := n.membership.view.Map()
	if m == nil || n.cfg.Role != api.RoleEdge {
		return
	}
	if self, ok := m.Node(n.cfg.ID); !ok || !self.Ephemeral {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), departTimeout)
	defer cancel()
	n.membership.refuse(removedWhy) // it goes by itself: being dropped from the map is no news
	for _, o := range m.Nodes {
		if o.Role != api.RoleServer {
			continue
		}
		if _, err := methodDepart.Ask(ctx, n.pool.Remote(o.ID), &peer.Nothing{}); err == nil || ctx.Err() != nil {
			return
		}
	}
}
