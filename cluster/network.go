package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/notice"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport"
)

// network is how this node names itself to others and reaches them: at the addresses of the placement map, and by names, so that
// no other node answers for the one that is meant.
type network struct {
	cfg      *Config
	log      hclog.Logger
	view     *meta.View
	said     *notice.Book
	dialer   transport.Dialer
	security *security

	addresses addresses
	names     names
}

func newNetwork(cfg *Config, log hclog.Logger, view *meta.View, said *notice.Book) *network {
	n := &network{cfg: cfg, log: log, view: view, said: said, security: newSecurity(cfg, log, view, said)}
	n.dialer = transport.Dialer{Caller: string(cfg.ID), Dial: n.dial, Secure: n.security.dialer(), Answered: n.answered}
	return n
}

// openPort takes the port. Connections wait in their lanes until these are served.
func (n *network) openPort() (*transport.Port, error) {
	return transport.Open(transport.Config{
		Listener: n.cfg.Listener, Answers: n.answersTo, Identify: n.identify, Refusal: n.refusal, Logger: n.log.Named("port"),
		Secure: n.security.port(), Links: n.security.links,
	})
}

// self is this node as the map should have it.
func (n *network) self() placement.Node {
	self := n.cfg.self()
	if n.security.kind() == placement.TLS {
		self.URL = urlOf("https", n.cfg.Advertise)
	}
	return self
}

// seeds are the addresses to ask before the map is known. This node's own, which a list for all nodes may hold, is none of them.
func (n *network) seeds() []string {
	return slices.DeleteFunc(slices.Clone(n.cfg.Join), func(a string) bool { return a == n.cfg.Advertise })
}

// nodeName is the name by which a connection means a node.
func nodeName(cluster string, node api.NodeID) string { return cluster + "/" + string(node) }

// answersTo reports whether the name that a connection gives is that of this node, in this cluster.
func (n *network) answersTo(name string) bool {
	m := n.view.Map()
	return m != nil && name == nodeName(m.ClusterID, n.cfg.ID)
}

// refusal is how this node describes itself to a connection that names another node, or this one in another cluster. It is "" if
// the connection names this node, which then has not opened that lane.
func (n *network) refusal(name string) string {
	m := n.view.Map()
	if m == nil {
		return fmt.Sprintf("node %s, which knows no cluster yet,", n.cfg.ID)
	}
	if own := nodeName(m.ClusterID, n.cfg.ID); name == own || strings.HasPrefix(name, own+"/") {
		return ""
	}
	return fmt.Sprintf("node %s of cluster %s", n.cfg.ID, m.ClusterID)
}

// answered notes which node answers at an address. If it is not the expected one, the log has a line, once.
func (n *network) answered(address string, refused *transport.RefusedError) {
	subject := "answers at " + address
	if refused == nil {
		if was, _ := n.said.Clear(subject); was {
			n.log.Info("the expected node answers again", "address", address)
		}
		return
	}
	if refused.Why != "" {
		n.security.deniedBy(refused)
		return
	}
	n.addresses.forget(address)
	if write, _ := n.said.Say(subject, refused.Answers); write {
		n.log.Warn("another node, or a node of another cluster, answers at the address of a node of this one",
			"address", address, "answers", refused.Answers, "expected", refused.Wanted)
	}
}

// dialNode connects to a lane of a node, at its newest known address.
func (n *network) dialNode(lane func(ctx context.Context, address, name string) (net.Conn, error)) func(context.Context, api.NodeID) (net.Conn, error) {
	return func(ctx context.Context, node api.NodeID) (net.Conn, error) {
		address, ok := n.address(string(node))
		if !ok {
			return nil, api.Errorf(api.CodeUnavailable, "the address of node %s is not known here yet", node)
		}
		c, err := lane(ctx, address, nodeName(n.view.Map().ClusterID, node))
		if err != nil {
			n.addresses.forget(address) // with TLS another node at the address is an error
		}
		return c, err
	}
}

// dial connects to an address, over the simulated wide area if there is one.
func (n *network) dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := n.cfg.Dial(ctx, address)
	if err != nil {
		n.addresses.forget(address)
	}
	if err != nil || n.cfg.Delay == nil {
		return c, err
	}
	return n.cfg.Delay(c, n.regionAt(address)), nil
}

// regionAt is the region of the node at the address in the map; this node's own if the map has none there.
func (n *network) regionAt(address string) api.RegionID {
	if m := n.view.Map(); m != nil {
		for _, o := range m.Nodes {
			if o.Address == address {
				return o.Region
			}
		}
	}
	return n.cfg.Region
}

// lane is a group's Raft lane on this node's port, and the way to the same lane at others. Its name contains the node: another node
// at an old address, or one of another cluster, is not taken for the member.
type lane struct {
	*transport.Lane
	ctx     context.Context // ends the dials
	network *network
	cluster string
	group   api.GroupID
}

func laneName(cluster string, node api.NodeID, g api.GroupID) string {
	return nodeName(cluster, node) + "/" + string(g)
}

func (l *lane) Dial(node, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	c, err := l.network.dialer.DialRaft(ctx, address, laneName(l.cluster, api.NodeID(node), l.group))
	if err != nil {
		l.network.addresses.forget(address)
	}
	return c, err
}
