package cluster

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/notice"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport"
)

// security is how this node proves itself to others, and which nodes it accepts: those with a certificate of the cluster and the key
// that the placement map has for the node. No date is compared: a node belongs to the cluster as long as the map has it.
// Safe for concurrent use.
type security struct {
	cfg         *Config
	log         hclog.Logger
	view        *meta.View
	said        *notice.Book
	credentials *credentials
	clients     *clientCertificate // shown to clients instead of the node's own; nil: there is none
	links       *transport.Links
	client      *tls.Config // of clients; it has the keys of their tickets
	figures     identityFigures

	// learn fetches the newest map; nil while that is not possible. members are those of a group here, by its newest configuration.
	// All are set before the port opens.
	learn   func(context.Context) error
	members func(api.GroupID) []string
	// edges is the placement map's group at this node, which knows the edges that were removed; nil if it has no voter of it.
	edges func() vaultGroup

	trusted  atomic.Pointer[trust]
	serving  atomic.Pointer[serving]
	standing atomic.Pointer[Standing]
	alone    atomic.Pointer[time.Time] // since when the cluster speaks TLS alone, as far as connections were judged; nil: it does not
	hosts    provenHosts
}

func newSecurity(cfg *Config, log hclog.Logger, view *meta.View, said *notice.Book) *security {
	s := &security{cfg: cfg, log: log, view: view, said: said, credentials: &credentials{}, figures: noFigures()}
	s.links = transport.NewLinks(s.keeps)
	s.client = &tls.Config{
		MinVersion: cmp.Or(cfg.ClientTLSMin, tls.VersionTLS13), NextProtos: []string{"h2", "http/1.1"}, GetCertificate: s.forClient,
	}
	return s
}

// plainGrace is how long older connections stay open when the cluster speaks TLS alone. Nodes make new ones meanwhile, and what is
// under way on the old ones ends.
const plainGrace = 20 * time.Second

// keeps reports whether a connection may stay open: one on TLS while the map has the key that was shown, one without while the
// cluster allows such connections.
func (s *security) keeps(peer any) bool {
	switch x := peer.(type) {
	case *proven:
		return s.accept(x.shown) == nil
	case *identified, transport.Unproven:
		return s.keepsPlain()
	}
	return true
}

func (s *security) keepsPlain() bool {
	if s.kind() != placement.TLS {
		s.alone.Store(nil)
		return true
	}
	now := time.Now()
	s.alone.CompareAndSwap(nil, &now)
	since := s.alone.Load()
	return since == nil || time.Since(*since) < plainGrace
}

// way is how a node is dialled: with which key of each end.
func (s *security) way(node api.NodeID) peer.Way {
	id := s.credentials.identity()
	if !s.withTLS(id, node) || id == nil {
		return peer.Way{}
	}
	return peer.Way{Own: id, Peer: s.trust().newest[node]}
}

// withTLS reports whether the node, or any node for "", is dialled with TLS. The map decides, and nothing that lies between the nodes: it
// has a pin for the node, or it has none. id is what this node proves itself with.
func (s *security) withTLS(id *join.Identity, node api.NodeID) bool {
	return s.kind() == placement.TLS || id != nil && (node == "" || s.pinned(node))
}

// port is the TLS of this node's port.
func (s *security) port() *transport.Secure {
	return &transport.Secure{
		Node: func() *tls.Config { return s.served().node },
		Join: func() *tls.Config { return s.served().join },
		Client: func() *tls.Config {
			if s.credentials.identity() == nil && s.clients == nil {
				return nil
			}
			return s.client
		},
		Plain: func() bool { return s.kind() != placement.TLS },
		Known: s.hosts.known,
		Done:  s.figures.handshake,
	}
}

// kind is the security of the cluster. A node that has proof of itself and no map trusts no plain connection.
func (s *security) kind() placement.Security {
	if m := s.view.Map(); m != nil {
		return m.Security
	}
	if s.credentials.identity() != nil {
		return placement.TLS
	}
	return placement.Plain
}

// serving is the TLS with which an identity is served.
type serving struct {
	of         *join.Identity
	node, join *tls.Config // nil without an identity
}

func (s *security) served() *serving {
	id := s.credentials.identity()
	if now := s.serving.Load(); now != nil && now.of == id {
		return now
	}
	now := &serving{of: id}
	if id != nil {
		now.node = &tls.Config{
			MinVersion: tls.VersionTLS13, NextProtos: []string{transport.ALPNNode}, Certificates: []tls.Certificate{*id.ForNodes()},
			ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true,
			VerifyConnection: func(c tls.ConnectionState) error { return s.verify(c, "") },
		}
		now.join = &tls.Config{
			MinVersion: tls.VersionTLS13, NextProtos: []string{transport.ALPNJoin}, Certificates: []tls.Certificate{*id.ForClients()},
			SessionTicketsDisabled: true,
		}
	}
	s.serving.Store(now)
	return now
}

// forClient is the certificate that a client is shown: the node's own if it asks for a name that only the cluster uses.
func (s *security) forClient(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	id := s.credentials.identity()
	if s.clients != nil && (id == nil || !strings.HasSuffix(strings.ToLower(hello.ServerName), join.OwnSuffix(id.Cluster))) {
		return s.clients.now(), nil
	}
	if id == nil {
		return nil, errors.New("no certificate for clients")
	}
	return id.ForClients(), nil
}

// dialer is TLS with other nodes.
func (s *security) dialer() *transport.DialSecure {
	return &transport.DialSecure{Config: s.dialing, Identify: s.dialed, Links: s.links}
}

// dialing returns the TLS of a connection to a node, or to any node for ""; nil without TLS.
func (s *security) dialing(name string) (*tls.Config, error) {
	id, node := s.credentials.identity(), nodeOf(name)
	if !s.withTLS(id, node) {
		return nil, nil
	}
	if id == nil {
		return nil, api.Errorf(api.CodeUnavailable, "the cluster speaks TLS, and this node has no certificate: get a token with --for %s", s.cfg.ID)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{transport.ALPNNode}, Certificates: []tls.Certificate{*id.ForNodes()},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection judges, and compares no date
		VerifyConnection: func(c tls.ConnectionState) error {
			if c.NegotiatedProtocol != transport.ALPNNode {
				return api.Errorf(api.CodeUnavailable, "what answers is no node of this version")
			}
			return s.verify(c, node)
		},
	}, nil
}

// nodeOf is the node that a name of a connection means: it is the second part of those of nodes and of Raft lanes.
func nodeOf(name string) api.NodeID {
	parts := strings.SplitN(name, "/", 3)
	if len(parts) < 2 {
		return ""
	}
	return api.NodeID(parts[1])
}

// dialed judges a node that this one has reached. It waits for no newer map: to fetch one takes dials.
func (s *security) dialed(_ string, c tls.ConnectionState) (any, error) {
	shown, err := s.shown(c)
	if err == nil {
		err = s.accept(shown)
	}
	if err != nil {
		return nil, s.refused(err)
	}
	return &proven{security: s, shown: shown}, nil
}

// verify checks the certificates of a connection by themselves, during the handshake. node is the node that this one wants to reach; ""
// is any server, or any node that calls.
func (s *security) verify(c tls.ConnectionState, node api.NodeID) error {
	shown, err := s.shown(c)
	if err == nil && node != "" && shown.Node != node {
		err = &join.RefusedError{Why: join.WhyOther, Text: "node " + string(shown.Node) + " answers, where " + string(node) + " is expected"}
	}
	if err != nil {
		return s.refused(err)
	}
	if time.Now().After(shown.Leaf.NotAfter) {
		s.figures.expired(1)
		if write, _ := s.said.Say("certificate of "+string(shown.Node), shown.Leaf.NotAfter.String()); write {
			s.log.Warn("the certificate of a node is past its date, which nodes do not mind; it could not renew it",
				"node", shown.Node, "not_after", shown.Leaf.NotAfter)
		}
	}
	return nil
}

func (s *security) shown(c tls.ConnectionState) (*join.Shown, error) {
	t := s.trust()
	return join.VerifyChain(c.PeerCertificates, t.roots, t.cluster)
}

// refused counts a refusal.
func (s *security) refused(err error) error {
	if r, ok := errors.AsType[*join.RefusedError](err); ok {
		s.figures.refused(1, string(r.Why))
	}
	return err
}

// accept decides by the present map whether a node that has shown its certificates may connect, and stay connected.
func (s *security) accept(x *join.Shown) error {
	t := s.trust()
	if t.by == nil { // this node has its proof, and no map yet: it asks servers for one
		if x.Role == api.RoleServer {
			return nil
		}
		return &join.RefusedError{Why: join.WhyOther, Text: "node " + string(x.Node) + " is an edge: name a server in --join"}
	}
	if n, ok := t.nodes[x.Node]; ok && len(n.Pins) == 0 && t.by.Security != placement.TLS && n.Region == x.Region && n.Role == x.Role {
		return nil // this map is older than the node's key, and would take the node without any proof
	}
	err := join.Accept(x, t.known)
	if r, ok := errors.AsType[*join.RefusedError](err); ok && r.Why == join.WhyUnknown && s.removedEdge(x) {
		return &join.RefusedError{Why: join.WhyRemoved, Text: "node " + string(x.Node) + " was removed from the cluster"}
	}
	return err
}

// removedEdge reports whether a node that the map does not have is an edge that was removed. Only voters of the map's group know.
func (s *security) removedEdge(x *join.Shown) bool {
	if x.Role != api.RoleEdge || s.edges == nil {
		return false
	}
	g := s.edges()
	return g != nil && g.RemovedEdge(x.Node)
}

// judge is accept for a node that calls, which this node's map may be too old for: then it waits for a newer one. That the node has
// another key is said only by the newest map, for the node ends at that.
func (s *security) judge(ctx context.Context, x *join.Shown) error {
	err := s.accept(x)
	r, _ := errors.AsType[*join.RefusedError](err)
	if err == nil || s.learn == nil || r.Why == join.WhyRemoved {
		return err
	}
	if failed := s.learn(ctx); failed == nil {
		return s.accept(x)
	}
	if r.Why == join.WhyKey {
		return &join.RefusedError{Why: whyUnsure, Text: r.Text + ", by a map that may be old"}
	}
	return err
}

// whyUnsure is the reason for which a node is refused that may have got its key since this node last heard of the map.
const whyUnsure join.Why = "unsure"

// pinned reports whether the map has a pin for the node.
func (s *security) pinned(node api.NodeID) bool { return len(s.trust().nodes[node].Pins) > 0 }

// trust is what a placement map says about which nodes to trust.
type trust struct {
	by      *placement.Map // nil: there is none
	cluster string
	roots   []*x509.Certificate
	nodes   map[api.NodeID]placement.Node
	newest  map[api.NodeID]string // pins
	servers map[join.Pin]bool
	known   join.Known
}

func (s *security) trust() *trust {
	m, id := s.view.Map(), s.credentials.identity()
	if t := s.trusted.Load(); t != nil && t.by == m && m != nil {
		return t
	}
	t := &trust{by: m, nodes: map[api.NodeID]placement.Node{}, newest: map[api.NodeID]string{}, servers: map[join.Pin]bool{}}
	if id != nil { // the roots of the map, if it has any, are newer
		t.cluster, t.roots = id.Cluster, []*x509.Certificate{id.Root}
	}
	if m != nil {
		t.fill(m)
	}
	s.trusted.Store(t)
	return t
}

func (t *trust) fill(m *placement.Map) {
	t.cluster = m.ClusterID
	if roots, err := join.ParseCertificates(m.Roots); err == nil && len(roots) > 0 { // the machine has checked them
		t.roots = roots
	}
	for _, n := range m.Nodes {
		t.nodes[n.ID] = n
		if len(n.Pins) > 0 {
			t.newest[n.ID] = string(n.Pins[0])
		}
		for _, p := range n.Pins {
			if n.Role == api.RoleServer {
				t.servers[join.Pin(p)] = true
			}
		}
	}
	t.known = join.Known{
		Node: func(id api.NodeID) (api.RegionID, api.Role, [][]byte, bool) {
			n, ok := t.nodes[id]
			return n.Region, n.Role, n.Pins, ok
		},
		Removed: func(id api.NodeID) bool { return slices.Contains(m.Retired, id) },
		Server:  func(p join.Pin) bool { return t.servers[p] },
	}
}

// Standing is why servers of the cluster refuse this node.
type Standing struct {
	// Why is "removed", "key" if the newest map has another key for the node, "unknown", or another reason that may pass.
	Why  string
	By   api.NodeID // the server that says so
	Text string     // for people
}

// deniedBy notes that a node refuses this one. Only servers are believed.
func (s *security) deniedBy(r *transport.RefusedError) {
	by := nodeOf(r.Wanted)
	if n, ok := s.trust().nodes[by]; !ok || n.Role != api.RoleServer {
		return
	}
	st := &Standing{Why: r.Why, By: by, Text: r.Answers}
	s.standing.Store(st)
	if write, _ := s.said.Say("refused by "+string(by), r.Why); write {
		s.log.Error("a server of the cluster refuses this node", "server", by, "why", r.Answers)
	}
	if s.cfg.OnRefused != nil {
		s.cfg.OnRefused(*st)
	}
}

// Standing returns why servers of the cluster refuse this node; false if none has done so since the node was opened.
func (n *Node) Standing() (Standing, bool) {
	if st := n.membership.security.standing.Load(); st != nil {
		return *st, true
	}
	return Standing{}, false
}

// Root is the certificate, in PEM, to which that of this node leads: what its clients are to trust, unless the node shows them another
// certificate. nil if the node has none.
func (n *Node) Root() []byte {
	if id := n.membership.credentials.identity(); id != nil {
		return join.EncodeCertificates(id.Root)
	}
	return nil
}
