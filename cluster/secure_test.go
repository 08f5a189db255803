package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/notice"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport"
	"github.com/edgehold/edgehold/transport/rpc"
)

// secured is a planet on TLS in a bubble.
type secured struct {
	*bubble
	ca    *join.CA
	plan  *placement.Map
	ids   Identities
	cfgs  map[api.NodeID]Config
	nodes map[api.NodeID]*Node
}

// newSecured makes a planet and opens none of its nodes. now is when its certificates were made.
func newSecured(t *testing.T, now time.Time, ids ...api.NodeID) *secured {
	t.Helper()
	s := &secured{bubble: newBubble(t), plan: planned(t, ids...), cfgs: map[api.NodeID]Config{}, nodes: map[api.NodeID]*Node{}, ids: Identities{}}
	var err error
	if s.ca, err = join.NewCA("test"); err != nil {
		t.Fatal(err)
	}
	if s.ids, err = secureWith(s.ca, s.plan, now); err != nil {
		t.Fatal(err)
	}
	for _, n := range s.plan.Nodes {
		cfg := s.config(n.ID, n.Role)
		cfg.Static, cfg.Identity = s.plan, s.ids[n.ID]
		s.cfgs[n.ID] = cfg
	}
	return s
}

// start opens all nodes.
func (s *secured) start() *secured {
	s.t.Helper()
	for id, cfg := range s.cfgs {
		s.nodes[id] = s.open(cfg)
	}
	for _, n := range s.nodes {
		s.ready(n)
	}
	time.Sleep(pollPatience) // polls of the map have begun that wait at the voters
	return s
}

// issue makes an identity that the map does not know.
func (s *secured) issue(node api.NodeID, role api.Role) *join.Identity {
	s.t.Helper()
	return issueBy(s.t, s.ca, join.Subject{Cluster: "test", Region: "r", Role: role, Node: node})
}

func issueBy(t *testing.T, ca *join.CA, subject join.Subject) *join.Identity {
	t.Helper()
	id, err := ca.Issue(join.Template{Subject: subject, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// dialerOf is that of a program that shows the identity, and believes whatever answers; nil speaks no TLS.
func (s *secured) dialerOf(id *join.Identity) transport.Dialer {
	dial := s.fabric.Dialer("stranger")
	d := transport.Dialer{Caller: "s1", Dial: func(ctx context.Context, a string) (net.Conn, error) { return dial(ctx, a) }}
	if id == nil {
		return d
	}
	d.Secure = &transport.DialSecure{
		Config: func(string) (*tls.Config, error) {
			return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{transport.ALPNNode}, Certificates: []tls.Certificate{*id.ForNodes()}}, nil //nolint:gosec // the test is the attacker
		},
		Identify: func(string, tls.ConnectionState) (any, error) { return nil, nil },
	}
	return d
}

// propose changes the map.
func (s *secured) propose(c placement.Command) {
	s.t.Helper()
	var err error
	for _, n := range s.nodes {
		if m := n.members.get(ident.MetaGroup); m != nil {
			if _, err = m.meta.Propose(context.Background(), c); err == nil {
				return
			}
		}
	}
	s.t.Fatal(err)
}

func (s *secured) put(n *Node, key api.Key, value string) error {
	_, err := n.Store().Do(context.Background(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: key, Value: []byte(value)}}})
	return err
}

// TestSecurePlanet: nodes elect, replicate, write and read under leases over TLS alone; their URLs say so.
func TestSecurePlanet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "s2", "s3", "e1").start()
		if err := s.put(s.nodes["e1"], "k", "v"); err != nil {
			t.Fatal(err)
		}
		for id, n := range s.nodes {
			res, err := storetest.Read(t.Context(), n.Store(), &api.ReadRequest{Keys: []api.Key{"k"}})
			if err != nil || string(res.Entries[0].Value) != "v" {
				t.Errorf("%s: %+v, %v", id, res, err)
			}
			if n.URL() != "https://"+string(id) {
				t.Errorf("%s has the URL %s", id, n.URL())
			}
			if n.membership.security.links.Len() == 0 {
				t.Errorf("%s has no connection on TLS", id)
			}
		}
		st, err := s.nodes["e1"].Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range st.Nodes {
			if n.URL != "https://"+string(n.Node) {
				t.Errorf("the status has the URL %q", n.URL)
			}
		}
		if c, err := s.dialerOf(nil).DialPeer(t.Context(), "s1", "test/s1"); err == nil {
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Error("a plain connection is answered")
			}
		}
	})
}

// TestColdStartAfterEveryDate is Attack 25: nodes whose certificates are all past start, elect and serve, and say so.
func TestColdStartAfterEveryDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now().AddDate(-5, 0, 0).Add(25*365*24*time.Hour), "s1", "s2", "s3", "e1")
		time.Sleep(30 * 365 * 24 * time.Hour)
		s.start()
		for id, x := range s.ids {
			if time.Now().Before(x.Leaf.NotAfter) {
				t.Fatalf("the certificate of %s ends at %v", id, x.Leaf.NotAfter)
			}
		}
		if err := s.put(s.nodes["e1"], "k", "v"); err != nil {
			t.Error(err)
		}
		if n := counterOf(t, s.nodes["s1"], "edgehold_identity_expired_peers_total"); n == 0 {
			t.Error("no certificate that is past its date was counted")
		}
	})
}

// counterOf sums a counter over its labels.
func counterOf(t *testing.T, n *Node, name string) (sum float64) {
	t.Helper()
	all, err := n.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// TestRemovedIsCut is Attack 5, of a node: once the map has dropped a node, its connections end, those that it made and those to it,
// and new ones are refused with the reason, everywhere within 2 s.
func TestRemovedIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "s2", "s3", "s4", "e1")
		var standing []Standing
		cfg := s.cfgs["s4"]
		cfg.OnRefused = func(st Standing) { standing = append(standing, st) }
		s.cfgs["s4"] = cfg
		s.start()
		c, err := s.dialerOf(s.ids["s4"]).DialPeer(t.Context(), "s1", "test/s1")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		s.propose(placement.Retire{Node: "s4"})
		time.Sleep(2 * time.Second)
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err = io.Copy(io.Discard, c) // what gRPC had said
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			t.Errorf("the connection of the removed node is open after %v: %v", time.Since(began), err)
		}
		for id := range s.nodes {
			if id == "s4" {
				continue
			}
			_, err := s.asks(s.ids["s4"], id, "Report")
			if r, ok := errors.AsType[*transport.RefusedError](err); !ok || r.Why != string(join.WhyRemoved) {
				t.Errorf("%s answers the removed node: %v", id, err)
			}
		}
		for range 30 {
			if len(standing) > 0 {
				break
			}
			time.Sleep(time.Second)
		}
		if st, ok := s.nodes["s4"].Standing(); !ok || st.Why != string(join.WhyRemoved) || len(standing) == 0 {
			t.Errorf("the removed node knows %+v", st)
		}
	})
}

// asks calls a method with an empty message, as the identity; nil is a plain connection.
func (s *secured) asks(id *join.Identity, node api.NodeID, method string) (code api.Code, err error) {
	d := s.dialerOf(id)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var refused error
	c, err := rpc.NewClient(rpc.ClientConfig{Dial: func(ctx context.Context) (net.Conn, error) {
		conn, err := d.DialPeer(ctx, string(node), nodeName("test", node))
		if err != nil {
			refused = err
			return nil, err
		}
		return noting{conn, &refused}, nil
	}})
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if method == "Leases" {
		var st *rpc.ClientStream[peer.Nothing, peer.Nothing]
		if st, err = rpc.Open[peer.Nothing, peer.Nothing](ctx, c, method); err == nil {
			_, err = st.Recv()
		}
	} else {
		_, err = rpc.Call[peer.Nothing, peer.Nothing](ctx, c, method, &peer.Nothing{})
	}
	if refused != nil {
		return "", refused
	}
	return api.CodeOf(err), err
}

// noting notes why a connection ends before it has said anything.
type noting struct {
	net.Conn
	why *error
}

func (c noting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if r, ok := errors.AsType[*transport.RefusedError](err); ok {
		*c.why = r
	} else if err != nil && strings.Contains(err.Error(), "tls:") {
		*c.why = err
	}
	return n, err
}

// TestMethodsOverTLS is Attack 7: each method is answered to the callers that it is for, and to no other; a caller that is no node of the
// cluster gets no method at all. What a connection calls itself does not matter.
func TestMethodsOverTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "s2", "s3", "s4", "e1").start()
		s.propose(placement.Retire{Node: "s4"})
		time.Sleep(2 * time.Second)
		other, err := join.NewCA("test")
		if err != nil {
			t.Fatal(err)
		}
		outside := map[string]*join.Identity{
			"a removed server":   s.ids["s4"],
			"a stranger":         s.issue("s9", api.RoleServer),
			"another key":        s.issue("s2", api.RoleServer),
			"another cluster's":  issueBy(t, other, join.Subject{Cluster: "test", Region: "r", Role: api.RoleServer, Node: "s2"}),
			"of another cluster": issueBy(t, s.ca, join.Subject{Cluster: "other", Region: "r", Role: api.RoleServer, Node: "s2"}),
			"without TLS":        nil,
		}
		for caller, id := range outside { // before any method, so one will do
			if code, err := s.asks(id, "s1", "Map"); err == nil || code == api.CodeDenied {
				t.Errorf("%s: got %q, %v", caller, code, err)
			}
		}
		for _, r := range s.nodes["s1"].peers.Table() {
			if r.Name == "Calls" {
				continue // the lane of calls has no methods
			}
			for caller, id := range map[string]*join.Identity{"a server": s.ids["s2"], "an edge": s.ids["e1"]} {
				code, err := s.asks(id, "s1", r.Name)
				denied := caller == "an edge" && (r.Who == peer.Servers || r.Who == peer.Members)
				if (code == api.CodeDenied) != denied {
					t.Errorf("%s to %s: %v", r.Name, caller, err)
				}
			}
		}
		for _, to := range []api.NodeID{"s1", "e1"} {
			c, err := s.dialerOf(s.ids["e1"]).DialRaft(t.Context(), string(to), laneName("test", to, "r.1"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("an edge is on a Raft lane of %s", to)
			}
			_ = c.Close()
		}
	})
}

// TestRefusedConnectionsAreCounted: why connections are refused is counted, and no address of a stranger is taken for a node's.
func TestRefusedConnectionsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1").start()
		other, err := join.NewCA("test")
		if err != nil {
			t.Fatal(err)
		}
		for what, x := range map[string]struct {
			id  *join.Identity
			why join.Why
		}{
			"signed by another": {issueBy(t, other, join.Subject{Cluster: "test", Region: "r", Role: api.RoleServer, Node: "s1"}), join.WhyChain},
			"another cluster's": {issueBy(t, s.ca, join.Subject{Cluster: "other", Region: "r", Role: api.RoleServer, Node: "s1"}), join.WhyCluster},
			"a new name":        {s.issue("s9", api.RoleServer), join.WhyUnknown},
			"a living name":     {s.issue("s1", api.RoleServer), join.WhyKey},
		} {
			before := refusals(t, s.nodes["s1"], x.why)
			if _, err := s.asks(x.id, "s1", "Map"); err == nil {
				t.Errorf("%s: answered", what)
			}
			if refusals(t, s.nodes["s1"], x.why) <= before {
				t.Errorf("%s: no refusal was counted as %s", what, x.why)
			}
		}
	})
}

func refusals(t *testing.T, n *Node, why join.Why) float64 {
	t.Helper()
	all, err := n.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != "edgehold_identity_refused_peers_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == string(why) {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// TestImpostorAnswers: a node that dials believes an address no more than a caller.
func TestImpostorAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "s2").start()
		l, err := s.fabric.Listen("impostor", "r")
		if err != nil {
			t.Fatal(err)
		}
		for what, id := range map[string]*join.Identity{
			"another key": s.issue("s2", api.RoleServer), "another node": s.ids["s1"], "a new name": s.issue("s9", api.RoleServer),
		} {
			p, err := transport.Open(transport.Config{Listener: l, Secure: &transport.Secure{Node: func() *tls.Config {
				return &tls.Config{NextProtos: []string{transport.ALPNNode}, Certificates: []tls.Certificate{*id.ForNodes()}, ClientAuth: tls.RequireAnyClientCert}
			}}})
			if err != nil {
				t.Fatal(err)
			}
			if c, err := s.nodes["s1"].membership.dialer.DialPeer(t.Context(), "impostor", "test/s2"); err == nil {
				t.Errorf("%s: believed", what)
				_ = c.Close()
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if l, err = s.fabric.Listen("impostor", "r"); err != nil {
				t.Fatal(err)
			}
		}
		_ = l.Close()
	})
}

// TestEdgeIsNoSeed is part of Attack 13: what a node believes of the map, it asks servers for.
func TestEdgeIsNoSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "e1")
		view, err := meta.OpenView(meta.Files{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		sec := newSecurity(&Config{ID: "s9"}, hclog.NewNullLogger(), view, &notice.Book{})
		sec.credentials.now.Store(s.issue("s9", api.RoleServer))
		shown := func(id *join.Identity) error {
			certs, err := join.ParseCertificates(id.ForNodes().Certificate)
			if err != nil {
				t.Fatal(err)
			}
			_, err = sec.dialed("", tls.ConnectionState{PeerCertificates: certs})
			return err
		}
		if err := shown(s.ids["s1"]); err != nil {
			t.Error(err)
		}
		if err := shown(s.ids["e1"]); err == nil || !strings.Contains(err.Error(), "e1 is an edge: name a server in --join") {
			t.Errorf("got %v", err)
		}
	})
}

// TestBothAtOnce: while a cluster becomes secure, a node with a certificate and one without work together, and a dialer uses TLS
// exactly if the map has a pin for its target.
func TestBothAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "s2", "s3", "e1")
		s.plan.Security = placement.Both
		for i, n := range s.plan.Nodes {
			if n.ID == "s3" || n.ID == "e1" {
				s.plan.Nodes[i].Pins = nil
				cfg := s.cfgs[n.ID]
				cfg.Identity, cfg.noRenewal = nil, true
				s.cfgs[n.ID] = cfg
			}
		}
		s.start()
		if err := s.put(s.nodes["e1"], "k", "v"); err != nil {
			t.Fatal(err)
		}
		for from, n := range s.nodes {
			for _, to := range []api.NodeID{"s1", "s2", "s3", "e1"} {
				cfg, err := n.membership.security.dialing(nodeName("test", to))
				want := (from == "s1" || from == "s2") && (to == "s1" || to == "s2")
				if err != nil || (cfg != nil) != want {
					t.Errorf("%s to %s: %v, %v", from, to, cfg != nil, err)
				}
			}
		}
		if n := counterOf(t, s.nodes["s1"], "edgehold_identity_handshakes_total"); n == 0 {
			t.Error("no connection was on TLS")
		}
	})
}

// TestRaftLanes: a server that is no member of a group is kept from its lane, one that the map does not know yet is not, if another
// server vouches for it.
func TestRaftLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "s2", "s3", "s4").start() // s4 votes in no group
		vouched := s.issue("s5", api.RoleServer)
		voucher, err := join.Vouch(s.ids["s2"].Key, vouched.Subject, &vouched.Key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if vouched, err = join.NewIdentity(vouched.Key, vouched.Leaf.Raw, [][]byte{voucher}, [][]byte{s.ca.Certificate.Raw}); err != nil {
			t.Fatal(err)
		}
		for _, x := range []struct {
			id  *join.Identity
			why string
		}{{s.ids["s2"], ""}, {vouched, ""}, {s.ids["s4"], string(whyNoMember)}, {s.issue("s6", api.RoleServer), string(join.WhyUnknown)}} {
			c, err := s.dialerOf(x.id).DialRaft(t.Context(), "s1", laneName("test", "s1", "r.1"))
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, err = c.Read(make([]byte, 1))
			r, _ := errors.AsType[*transport.RefusedError](err)
			if x.why == "" && r != nil || x.why != "" && (r == nil || r.Why != x.why) {
				t.Errorf("%s: got %v, want %q", x.id.Subject.Node, err, x.why)
			}
			_ = c.Close()
		}
	})
}

// TestVouchedCaller: a server that only another server knows has the rights of its role, until the map says otherwise.
func TestVouchedCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "s2").start()
		x := s.issue("s5", api.RoleServer)
		voucher, err := join.Vouch(s.ids["s2"].Key, x.Subject, &x.Key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if x, err = join.NewIdentity(x.Key, x.Leaf.Raw, [][]byte{voucher}, [][]byte{s.ca.Certificate.Raw}); err != nil {
			t.Fatal(err)
		}
		if code, err := s.asks(x, "s1", "Index"); code == api.CodeDenied {
			t.Error(err)
		}
		if _, err := s.asks(x, "s1", "Poll"); err != nil {
			t.Error(err)
		}
	})
}

// TestPlainConnectionsEnd: connections without TLS that are open when the cluster speaks TLS alone end soon, those that a node has
// accepted and those that it has made: a process that has posed as a node on one is cut off.
func TestPlainConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "s2", "s3", "e1")
		s.plan.Security = placement.Both
		s.start()
		accepted, err := s.dialerOf(nil).DialPeer(t.Context(), "s2", "test/s2")
		if err != nil {
			t.Fatal(err)
		}
		raft, err := s.dialerOf(nil).DialRaft(t.Context(), "s2", laneName("test", "s2", "r.1"))
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.fabric.Listen("impostor", "r")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		dialed, err := s.nodes["s2"].membership.dialer.DialPeer(t.Context(), "impostor", "test/unknown")
		if err != nil {
			t.Fatal(err)
		}
		s.propose(placement.Secure{Security: placement.TLS})
		time.Sleep(2 * plainGrace)
		for name, c := range map[string]net.Conn{"accepted": accepted, "of Raft": raft, "dialled": dialed} {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := io.Copy(io.Discard, c)
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				t.Errorf("the connection %s is open: %v", name, err)
			}
		}
		if err := s.put(s.nodes["e1"], "k", "v"); err != nil {
			t.Error(err)
		}
	})
}

// TestMapBeforeTheKey: while a cluster becomes secure, a node whose map is of before another had a key accepts that one, which dials it
// with TLS, without a newer map: there may be no leader that has one. Attack 6a.
func TestMapBeforeTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "s2", "s3")
		old := *s.plan
		old.Security, old.Nodes = placement.Both, slices.Clone(s.plan.Nodes)
		for i, n := range old.Nodes {
			if n.ID != "s2" {
				old.Nodes[i].Pins = nil
			}
		}
		cfg := s.cfgs["s2"]
		cfg.Static = &old
		s.open(cfg)
		if code, err := s.asks(s.ids["s1"], "s2", "Report"); code != "" || err != nil {
			t.Errorf("a node with a key that is newer than the map: %q, %v", code, err)
		}
		for who, id := range map[string]*join.Identity{"another role": s.issue("s1", api.RoleEdge), "another key": s.issue("s2", api.RoleServer)} {
			if _, err := s.asks(id, "s2", "Report"); err == nil {
				t.Errorf("%s is accepted", who)
			}
		}
	})
}
