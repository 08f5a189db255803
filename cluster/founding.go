package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// methodIntroduce is for a node that knows only the address of another.
var methodIntroduce = peer.NewMethod[introduction, standing]("Introduce", admission.Control, peer.Anyone)

// introduction is what a node sends to one of which it knows only the address.
type introduction struct {
	Node    api.NodeID  `cbor:"1,keyasint"`
	Address string      `cbor:"2,keyasint,omitempty"`
	Nonce   ident.Nonce `cbor:"3,keyasint"`
	// Founding: the node is to found a cluster, and asks whether there is one.
	Founding bool `cbor:"4,keyasint,omitempty"`
}

// standing is the answer to an introduction.
type standing struct {
	Node  api.NodeID  `cbor:"1,keyasint"`
	Nonce ident.Nonce `cbor:"2,keyasint"`
	// Cluster is the cluster that the node knows; "" is none.
	Cluster string `cbor:"3,keyasint,omitempty"`
	// Member: the node belongs to a cluster, even if it does not know its map at present.
	Member bool `cbor:"4,keyasint,omitempty"`
	// Founding: the node is to found a cluster itself, and does not leave that to the caller.
	Founding bool `cbor:"5,keyasint,omitempty"`
	// First is another server that the node leaves the founding to; nil is none.
	First *introduction `cbor:"6,keyasint,omitempty"`
}

// founding is the state of a server that is to found a cluster and asks others first. Its zero value is that of a node that
// founds none, or has founded one. docs/decisions/0025 explains why at most one cluster is founded.
type founding struct {
	mu      sync.Mutex
	active  bool
	first   introduction // the server that this one leaves the founding to; Node is "" for none
	missing string       // what the last round lacked
}

const (
	// foundTimeout bounds one round of questions.
	foundTimeout = 3 * time.Second
	// foundEvery is the pause between two rounds.
	foundEvery = 500 * time.Millisecond
)

// begin decides how a server with --bootstrap begins. It founds a cluster at once if it names no other node, or if its folder
// records that it has founded one. It goes on as a member of the cluster that it knows. Else it asks the others first.
func (n *membership) begin() error {
	switch {
	case !n.cfg.Bootstrap || n.view.Map() != nil:
		return nil
	case len(n.seeds()) == 0 || n.identity.cluster != "":
		return n.foundCluster()
	case n.identity.node == "":
		n.found.active = true
	}
	return nil
}

// foundCluster makes this server the first of a new cluster. It takes the same name again if it has founded one before and lost
// its map.
func (n *membership) foundCluster() error {
	if n.identity.node == "" {
		id, err := newClusterID()
		if err != nil {
			return err
		}
		n.identity.cluster = id
	}
	if n.identity.cluster == "" {
		return api.Errorf(api.CodeConflict, "this data folder belongs to a server that joined a cluster; start it with --join, not --bootstrap")
	}
	first, err := n.firstMap()
	if err != nil {
		return err
	}
	if err := n.view.Found(first, func() error { return n.identity.claim(n.self()) }); err != nil {
		return err
	}
	n.admitted.Store(true)
	return nil
}

// newClusterID makes the name of a new cluster.
func newClusterID() (string, error) {
	var name [8]byte
	_, err := rand.Read(name[:])
	return fmt.Sprintf("%x", name), err
}

// firstMap is the map of the cluster that this server founds. With TLS the server then has its certificate, and the secrets of the
// cluster are in its folder.
func (n *membership) firstMap() (*placement.Map, error) {
	if !n.cfg.Secure {
		return n.plainMap()
	}
	s, err := n.secretsOf(n.identity.cluster)
	if err != nil {
		return nil, err
	}
	n.identity.cluster = s.Cluster // that of an earlier try, or of --init
	first, err := n.plainMap()
	if err != nil {
		return nil, err
	}
	return first, n.secure(first, s)
}

// plainMap is the first map without what TLS needs.
func (n *membership) plainMap() (*placement.Map, error) {
	m, err := placement.Bootstrap(n.cfg.mapLevel, n.identity.cluster, n.self(), n.cfg.Groups, n.cfg.Voters)
	if err == nil {
		fronts.keepTogether(m)
	}
	return m, err
}

// foundFirst runs at a server that is to found a cluster and names other nodes. It asks all of them until each has answered that
// it knows no cluster, and then founds one; or until a map has come from a node that knows one, as to any server that joins.
func (n *joining) foundFirst() {
	defer n.said.Clear("founding")
	defer n.found.end()
	for n.ctx.Err() == nil && n.view.Map() == nil {
		changed := n.view.Changed()
		missing := n.askOthers()
		if missing == "" || !guardAskFirst {
			missing = n.foundUnlessLeft()
		}
		n.found.note(missing)
		if missing == "" {
			n.log.Info("founded a new cluster", "cluster", n.view.Map().ClusterID)
			return
		}
		if write, _ := n.said.Say("founding", missing); write && n.view.Map() == nil {
			n.log.Warn("this server founds no cluster yet: every node named by --join must answer that it knows none", "missing", missing)
		}
		select {
		case <-n.ctx.Done():
		case <-changed:
		case <-time.After(foundEvery):
		}
	}
}

// foundUnlessLeft founds the cluster, unless this server has left that to another meanwhile. It returns what is missing.
func (n *joining) foundUnlessLeft() string {
	n.found.mu.Lock() // the founding is not left to another between the check and the act
	defer n.found.mu.Unlock()
	if f := n.found.first; f.Node != "" && guardLeaveToFirst {
		return leftTo(f)
	}
	if err := n.foundCluster(); err != nil {
		return err.Error()
	}
	n.found.active = false
	return ""
}

func leftTo(f introduction) string {
	return fmt.Sprintf("node %s at %s is to found the cluster too, and its name sorts first: this server waits for it", f.Node, f.Address)
}

// askOthers asks every address, and the server that the founding is left to. It returns what is missing, "" for nothing.
func (n *joining) askOthers() string {
	ctx, cancel := context.WithTimeout(n.ctx, foundTimeout)
	defer cancel()
	_, left, _ := n.found.state()
	addresses := n.seeds()
	if left.Node != "" && !slices.Contains(addresses, left.Address) {
		addresses = append(addresses, left.Address)
	}
	missing := make([]string, len(addresses))
	var wg sync.WaitGroup
	for i, a := range addresses {
		wg.Go(func() { missing[i] = n.askOther(ctx, a, left) })
	}
	wg.Wait()
	return strings.Join(slices.DeleteFunc(missing, func(s string) bool { return s == "" }), "; ")
}

// askOther asks one address, and takes the map of a cluster that is known there. left is the server that the founding was left to
// before the question.
func (n *joining) askOther(ctx context.Context, address string, left introduction) string {
	remote := n.pool.RemoteAt(address)
	s, err := methodIntroduce.Ask(ctx, remote, &introduction{Node: n.cfg.ID, Address: n.cfg.Advertise, Nonce: n.nonce, Founding: true})
	switch {
	case err != nil:
		if found, ok := join.Probe(ctx, n.dial, address); ok {
			return fmt.Sprintf("node %s at %s belongs to cluster %s: this server founds no other; give it a join token (--join-token), or its old data folder", found.Node, address, found.Cluster)
		}
		return fmt.Sprintf("%s has not answered (%s)", address, api.AsError(err).Hint)
	case s.Nonce == n.nonce: // this node itself, at another address
		return ""
	case s.Cluster != "":
		if news, err := pollAt(ctx, remote, meta.Seen{}); err == nil && news.Map != nil {
			_ = n.view.Update(news.Map) // it conflicts if the map of another cluster has come first: this node is a member of that
		}
		return fmt.Sprintf("node %s at %s knows cluster %s", s.Node, address, s.Cluster)
	case s.Member:
		return fmt.Sprintf("node %s at %s belongs to a cluster that it has not reached yet", s.Node, address)
	case s.Founding && s.Node == n.cfg.ID:
		return fmt.Sprintf("another server at %s is to found the cluster under the same name: give each its own --node", address)
	case s.Founding && s.First != nil:
		if s.First.Node < n.cfg.ID && (left.Node == "" || left.Nonce == s.Nonce) {
			n.found.leaveTo(*s.First, left)
		}
		return leftTo(*s.First)
	case s.Founding:
		return leftTo(introduction{Node: s.Node, Address: address})
	case s.Node == left.Node:
		n.found.leaveTo(introduction{}, left) // it has been started anew in another way, and founds none
	}
	return ""
}

// introduce answers a node that knows only this one's address. Of two servers that are to found a cluster, the one whose name
// sorts first does: the other leaves it to that one from here on, whether or not it names that one itself, and to no third.
func (n *membership) introduce(_ context.Context, other *introduction) (*standing, error) {
	n.claims(other)
	f := &n.found
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &standing{Node: n.cfg.ID, Nonce: n.nonce, Member: n.admitted.Load()}
	if m := n.view.Map(); m != nil {
		s.Cluster = m.ClusterID
	}
	if !f.active {
		return s, nil
	}
	same := f.first.Node == other.Node && f.first.Address == other.Address
	switch {
	case f.first.Node != "" && !same:
		first := f.first
		s.Founding, s.First = true, &first
	case other.Founding && other.Node < n.cfg.ID:
		f.first = *other
	default:
		s.Founding = true
	}
	return s, nil
}

// leaveTo leaves the founding to first; "" for no server. left is what it was left to when that was found out.
func (f *founding) leaveTo(first, left introduction) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first == left {
		f.first = first
	}
}

// state returns whether this server is to found a cluster, the server that it leaves the founding to, and what is missing.
func (f *founding) state() (active bool, first introduction, missing string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.active, f.first, f.missing
}

// note records what is missing.
func (f *founding) note(missing string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missing = missing
}

// end records that there is nothing to found any more.
func (f *founding) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active, f.first, f.missing = false, introduction{}, ""
}
