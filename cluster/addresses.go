package cluster

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// addresses are where nodes of the cluster have been found, beside where the map says that they are. Voters that have all moved
// cannot change the map before they have found each other.
type addresses struct {
	mu sync.Mutex
	// found has the address at which a node last proved its name and its cluster.
	found map[api.NodeID]foundAt
	// claimed has the addresses that nodes have given as their own. They prove nothing: they are worth asking.
	claimed map[api.NodeID]string
}

// foundAt is where a node was found. It counts while the map has the node where it was then: a newer address in the map counts more.
type foundAt struct{ address, configured string }

// at returns where the node was found, if that is newer than its configured address.
func (a *addresses) at(node api.NodeID, configured string) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f, ok := a.found[node]
	return f.address, ok && f.configured == configured
}

// note records where a node was found.
func (a *addresses) note(node api.NodeID, f foundAt) (news bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.found == nil {
		a.found = map[api.NodeID]foundAt{}
	}
	news = a.found[node] != f
	a.found[node] = f
	return news
}

// claim records the address that a node gives as its own.
func (a *addresses) claim(node api.NodeID, address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.claimed == nil {
		a.claimed = map[api.NodeID]string{}
	}
	a.claimed[node] = address
}

// forget drops what was found at an address that does not answer, or at which another node answers.
func (a *addresses) forget(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.found, func(_ api.NodeID, f foundAt) bool { return f.address == address })
}

// worthAsking are the addresses that nodes have given as their own.
func (a *addresses) worthAsking() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.claimed))
}

// address returns the newest address at which a node has proved its name and its cluster, or else that of the map.
func (n *network) address(node string) (string, bool) {
	configured, ok := n.view.Address(api.NodeID(node))
	if found, newer := n.addresses.at(api.NodeID(node), configured); newer {
		return found, true
	}
	return configured, ok
}

// findEvery is how often a node whose groups have no leader looks for their members at other addresses, and findTimeout bounds one
// look.
const (
	findEvery   = time.Second
	findTimeout = 3 * time.Second
)

// findOthers asks the addresses of --join, and those that other nodes have given as their own, which node is there. It does so while
// a group with a replica here has no leader.
func (n *replicas) findOthers() {
	m := n.view.Map()
	if m == nil || !slices.ContainsFunc(n.open.all(), func(x *member) bool { return !x.led() }) {
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, findTimeout)
	defer cancel()
	ask := append(n.seeds(), n.addresses.worthAsking()...)
	slices.Sort(ask)
	var wg sync.WaitGroup
	for _, address := range slices.Compact(ask) {
		wg.Go(func() { n.find(ctx, m.ClusterID, address) })
	}
	wg.Wait()
}

// find asks an address which node is there.
func (n *replicas) find(ctx context.Context, cluster, address string) {
	s, err := methodIntroduce.Ask(ctx, n.pool.RemoteAt(address), &introduction{Node: n.cfg.ID, Address: n.cfg.Advertise, Nonce: n.nonce})
	if err != nil || s.Cluster != cluster || s.Node == n.cfg.ID {
		return
	}
	configured, known := n.view.Address(s.Node)
	if !known || configured == address || !n.proves(ctx, cluster, s.Node, address) {
		return
	}
	if n.addresses.note(s.Node, foundAt{address, configured}) {
		n.log.Info("a node of the cluster is at another address than the map says", "node", s.Node, "address", address, "map", configured)
	}
}

// proves reports whether the node is at the address. With TLS it shows its certificate there: what a node says of itself is not
// believed. Without TLS nothing proves more than that.
func (n *network) proves(ctx context.Context, cluster string, node api.NodeID, address string) bool {
	c, err := n.dialer.DialPeer(ctx, address, nodeName(cluster, node))
	if err != nil {
		return false
	}
	_ = c.Close() // nothing was asked
	return true
}

// claims records the address that a caller gives as its own, if the map has the node elsewhere.
func (n *membership) claims(other *introduction) {
	if configured, known := n.view.Address(other.Node); known && other.Address != "" && other.Address != configured && other.Node != n.cfg.ID {
		n.addresses.claim(other.Node, other.Address)
	}
}
