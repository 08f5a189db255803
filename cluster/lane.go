package cluster

import (
	"context"
	"net"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/transport"
)

// lane is a group's Raft lane on this node's port, and the way to the same lane at others. Its name says whom it means:
// another node at an old address, or one of another cluster, must not be taken for the member.
type lane struct {
	n       *Node
	cluster string
	group   api.GroupID
	*transport.Lane
}

func (n *Node) lane(cluster string, g api.GroupID) *lane {
	return &lane{n: n, cluster: cluster, group: g, Lane: n.port.Raft(laneName(cluster, n.cfg.ID, g))}
}

func laneName(cluster string, node api.NodeID, g api.GroupID) string {
	return nodeName(cluster, node) + "/" + string(g)
}

func (l *lane) Dial(node, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.n.ctx, timeout)
	defer cancel()
	return l.n.dialer.DialRaft(ctx, address, laneName(l.cluster, api.NodeID(node), l.group))
}
