package cluster

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/leasecache"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport"
)

// self is this node as the map should have it.
func (n *Node) self() placement.Node {
	return placement.Node{ID: n.cfg.ID, Region: n.cfg.Region, Role: n.cfg.Role, Address: n.cfg.Advertise, URL: n.URL()}
}

// seeds are the nodes to ask before the map is known. One's own address, which a list for all nodes may hold, is none.
func (n *Node) seeds() []string {
	return slices.DeleteFunc(slices.Clone(n.cfg.Join), func(a string) bool { return a == n.cfg.Advertise })
}

// address is where a node is reached, as the map says.
func (n *Node) address(node string) (string, bool) {
	return n.mirror.Address(api.NodeID(node))
}

// nodeName is what a connection names whom it means by.
func nodeName(cluster string, node api.NodeID) string { return cluster + "/" + string(node) }

// answersTo tells whether a connection that names whom it means means this node, in this cluster.
func (n *Node) answersTo(name string) bool {
	m := n.mirror.Map()
	return m != nil && name == nodeName(m.ClusterID, n.cfg.ID)
}

// refusal is what this node says it is to a connection that names another node, or this one in another cluster; "" if it names this
// one, which then has not opened that lane.
func (n *Node) refusal(name string) string {
	m := n.mirror.Map()
	if m == nil {
		return fmt.Sprintf("node %s, which knows no cluster yet,", n.cfg.ID)
	}
	if own := nodeName(m.ClusterID, n.cfg.ID); name == own || strings.HasPrefix(name, own+"/") {
		return ""
	}
	return fmt.Sprintf("node %s of cluster %s", n.cfg.ID, m.ClusterID)
}

// answered notes who answers at an address where a node is expected. The log says it if that is another, once.
func (n *Node) answered(address string, refused *transport.RefusedError) {
	subject := "answers at " + address
	if refused == nil {
		if was, _ := n.said.Clear(subject); was {
			n.log.Info("the expected node answers again", "address", address)
		}
		return
	}
	if write, _ := n.said.Say(subject, refused.Answers); write {
		n.log.Warn("another node, or a node of another cluster, answers at the address of a node of this one",
			"address", address, "answers", refused.Answers, "expected", refused.Wanted)
	}
}

// dialNode connects to a lane of a node, at its newest known address.
func (n *Node) dialNode(lane func(ctx context.Context, address, name string) (net.Conn, error)) func(context.Context, api.NodeID) (net.Conn, error) {
	return func(ctx context.Context, node api.NodeID) (net.Conn, error) {
		address, ok := n.address(string(node))
		if !ok {
			return nil, api.Errorf(api.CodeUnavailable, "the address of node %s is not known here yet", node)
		}
		return lane(ctx, address, nodeName(n.mirror.Map().ClusterID, node))
	}
}

// dial connects to an address, over the simulated wide area if there is one.
func (n *Node) dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := n.cfg.Dial(ctx, address)
	if err != nil || n.cfg.Delay == nil {
		return c, err
	}
	return n.cfg.Delay(c, n.regionAt(address)), nil
}

// regionAt is the region of the node at the address, as far as the map says: this node's own where it does not.
func (n *Node) regionAt(address string) api.RegionID {
	if m := n.mirror.Map(); m != nil {
		for _, o := range m.Nodes {
			if o.Address == address {
				return o.Region
			}
		}
	}
	return n.cfg.Region
}

// voters are the servers with the groups, the meta group aside, that have a voter there.
func (n *Node) voters() []leasecache.PeerGroups {
	m := n.mirror.Map()
	if m == nil {
		return nil
	}
	var all []leasecache.PeerGroups
	for _, o := range m.Nodes {
		p := leasecache.PeerGroups{Node: o.ID}
		for _, g := range m.VotersAt(o.ID) {
			if g != ident.MetaGroup {
				p.Groups = append(p.Groups, g)
			}
		}
		if len(p.Groups) > 0 {
			all = append(all, p)
		}
	}
	return all
}

// mirrorOf answers polls of others from this node's mirror, which is made later than what asks it.
type mirrorOf struct{ n *Node }

func (m mirrorOf) Wait(ctx context.Context, since uint64) (*placement.Map, error) {
	return m.n.mirror.Wait(ctx, since)
}

// The pauses after nobody could be asked to let this node in, and after it was refused.
const (
	joinRetry   = 300 * time.Millisecond
	joinRefused = 10 * time.Second
)

// join makes the map name this node at its present addresses. It goes on until that is so, and then ends.
func (n *Node) join() {
	if n.found.asking() {
		n.foundFirst()
		n.mirror.Start()
	}
	for n.ctx.Err() == nil {
		changed, retry := n.changed(), joinRetry
		if m := n.mirror.Map(); m != nil {
			if have, ok := m.Node(n.cfg.ID); ok && have == n.self() && n.admitted.Load() {
				return
			}
			if err := n.register(); err == nil {
				continue
			} else if api.CodeOf(err) == api.CodeConflict || api.CodeOf(err) == api.CodeInvalid {
				if write, _ := n.said.Say("register", err.Error()); write {
					n.log.Error("the cluster does not let this node in", "error", err)
				}
				changed, retry = nil, joinRefused // a change of the map is no reason to hurry
			} else if write, _ := n.said.Say("register", "unavailable"); write {
				n.log.Warn("could not register with the cluster; trying again", "error", err)
			}
		}
		select {
		case <-n.ctx.Done():
		case <-changed:
		case <-time.After(retry):
		}
	}
}

func (n *Node) register() error {
	ctx, cancel := context.WithTimeout(n.ctx, api.DefaultTimeout)
	defer cancel()
	m, err := n.newestMap(ctx)
	if err != nil {
		return err
	}
	return n.admit(ctx, m)
}

// changed is closed at the next change of the map.
func (n *Node) changed() <-chan struct{} { return n.mirror.Changed() }

// onLeader is the router's, which is opened later than what needs it here.
func (n *Node) onLeader(ctx context.Context, g api.GroupID, op string, again bool, call func(context.Context, api.NodeID) error) error {
	return n.router.OnLeader(ctx, g, op, again, call)
}

// newestMap is the map as it was at some instant after the call.
func (n *Node) newestMap(ctx context.Context) (m *placement.Map, err error) {
	err = n.router.OnLeader(ctx, ident.MetaGroup, "map", true, func(ctx context.Context, node api.NodeID) error {
		m, err = n.pool.Remote(node).Map(ctx)
		return err
	})
	return m, err
}

// proposeToMeta carries out a command at the meta group's leader. Its commands may be repeated.
func (n *Node) proposeToMeta(ctx context.Context, c placement.Command) (m *placement.Map, err error) {
	err = n.router.OnLeader(ctx, ident.MetaGroup, "placement", true, func(ctx context.Context, node api.NodeID) error {
		m, err = n.pool.Remote(node).Propose(ctx, c)
		return err
	})
	return m, err
}
