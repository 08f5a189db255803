package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/peer/peertest"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport"
)

// pool is the way of a node of that name, which runs elsewhere or not at all, to the nodes of the bubble.
func (b *bubble) pool(id api.NodeID) *peer.Pool {
	b.t.Helper()
	b.fabric.Place(string(id), "r")
	lanes := transport.Dialer{Caller: string(id), Dial: b.fabric.Dialer(string(id))}
	to := func(lane func(ctx context.Context, address, name string) (net.Conn, error)) func(context.Context, api.NodeID) (net.Conn, error) {
		return func(ctx context.Context, node api.NodeID) (net.Conn, error) {
			return lane(ctx, string(node), nodeName("test", node))
		}
	}
	server, err := peer.NewServer(peer.ServerConfig{Self: id, Role: api.RoleServer})
	if err != nil {
		b.t.Fatal(err)
	}
	p, err := peer.NewPool(peer.PoolConfig{Server: server, Dial: to(lanes.DialPeer), DialCalls: to(lanes.DialCalls)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { p.Close(); server.Close() })
	return p
}

// without makes the node's map lose another, as if that had been removed.
func (n *Node) without(id api.NodeID) error {
	m := *n.mirror.Map()
	m.Version += 100
	m.Nodes = nil
	for _, o := range n.mirror.Map().Nodes {
		if o.ID != id {
			m.Nodes = append(m.Nodes, o)
		}
	}
	return n.membership.view.Update(&m)
}

// TestMethodsAreForTheirCallers (Attack 7): each method that a node answers is for the callers of its column alone: a server, an edge, a node that was
// removed while its connections stay open, and one that the map has never named. So every new method has a line here.
func TestMethodsAreForTheirCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		plan := planned(t, "s1", "s2", "e1", "e2")
		start := func(id api.NodeID, role api.Role) *Node {
			cfg := b.config(id, role)
			cfg.Static = plan
			return b.open(cfg)
		}
		s1, s2, e1 := start("s1", api.RoleServer), start("s2", api.RoleServer), start("e1", api.RoleEdge)
		b.ready(s1)
		b.ready(e1)
		from := map[string]*peer.Pool{"server": s2.pool, "edge": e1.pool, "removed": b.pool("e2"), "unknown": b.pool("e9")}
		if _, err := reportOf(t.Context(), from["removed"].Remote("s1")); err != nil {
			t.Errorf("before it was removed: %v", err)
		}
		if err := s1.without("e2"); err != nil {
			t.Fatal(err)
		}
		for _, kind := range peertest.Callers {
			for _, row := range s1.peers.Table() {
				refused, err := peertest.Probe(t.Context(), from[kind].Remote("s1"), row)
				if refused == peertest.Allowed(row.Who, kind, true) {
					t.Errorf("%s, which is for %s, by a node that is %s: refused is %v, %v", row.Name, row.Who, kind, refused, err)
				}
			}
		}
		_, err := peer.NewMethod[peer.Nothing, peer.Nothing]("Seal", methodsRow(s1, "Report").Class, peer.Anyone).Call(t.Context(), from["edge"].Remote("s1"), &peer.Nothing{})
		if api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("a method that there is not: %v", err)
		}
	})
}

func methodsRow(n *Node, name string) peer.Row {
	for _, r := range n.peers.Table() {
		if r.Name == name {
			return r
		}
	}
	return peer.Row{}
}

// TestEdgeOnRaftLane (Attack 7): a connection of an edge to the lane of a group is closed; one of a name that the map does not know is
// not, since a new member may be known elsewhere before it is known here.
func TestEdgeOnRaftLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		cfg := b.config("s1", api.RoleServer)
		cfg.Static = planned(t, "s1", "e1")
		b.ready(b.open(cfg))
		for caller, open := range map[string]bool{"e1": false, "s9": true} {
			b.fabric.Place(caller, "r")
			d := transport.Dialer{Caller: caller, Dial: b.fabric.Dialer(caller)}
			c, err := d.DialRaft(t.Context(), "s1", laneName("test", "s1", "r.1"))
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			_, err = c.Read(make([]byte, 1))
			if timeout, ok := errors.AsType[net.Error](err); open != (ok && timeout.Timeout()) || !open && !errors.Is(err, io.EOF) {
				t.Errorf("%s: the lane is open: %v", caller, err)
			}
			_ = c.Close()
		}
	})
}

// TestEdgesAdministerNothing (Attacks 7, 35): an edge proposes its own joining alone, and administration at an edge is refused with the
// names of servers.
func TestEdgesAdministerNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		plan := planned(t, "s1", "e1")
		start := func(id api.NodeID, role api.Role) *Node {
			cfg := b.config(id, role)
			cfg.Static = plan
			return b.open(cfg)
		}
		s1, e1 := start("s1", api.RoleServer), start("e1", api.RoleEdge)
		b.ready(s1)
		b.ready(e1)
		err := e1.SetPlacement(t.Context(), "p/", "r")
		if e := api.AsError(err); e.Code != api.CodeDenied || !strings.Contains(e.Hint, s1.URL()) {
			t.Errorf("administration at an edge: %v", err)
		}
		if err := s1.SetPlacement(t.Context(), "p/", "r"); err != nil {
			t.Errorf("administration at a server: %v", err)
		}
		self, _ := plan.Node("e1")
		other, _ := plan.Node("s1")
		other.Address = "elsewhere"
		for _, url := range []string{"javascript:alert(1)", "http://e1\r\nX-Header: 1"} {
			odd := self
			odd.URL = url
			if _, err := (mapsAt{e1.pool}).propose(t.Context(), "s1", placement.Join{Node: odd}); api.CodeOf(err) != api.CodeInvalid {
				t.Errorf("an edge with the URL %q: %v", url, err)
			}
		}
		for name, c := range map[string]struct {
			command placement.Command
			allowed bool
		}{
			"its own joining":     {placement.Join{Node: self}, true},
			"another's joining":   {placement.Join{Node: other}, false},
			"an owner of a range": {placement.SetRange{Range: api.PrefixRange("p/"), Epoch: 9, Region: "r", Groups: []api.GroupID{"r.1"}}, false},
			"a setting":           {placement.Set{Name: placement.SettingDeadAfter, Value: "1h"}, false},
		} {
			_, err := mapsAt{e1.pool}.propose(t.Context(), "s1", c.command)
			if denied := api.CodeOf(err) == api.CodeDenied; denied == c.allowed || c.allowed && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestRollIsForNodes: a node that the map does not name gets the map, with which it joins, and nothing of policies and tokens.
func TestRollIsForNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := peertest.New(t)
		voter := &fakeMeta{now: mapOf(t, 5), roll: &placement.Roll{Revision: 3}}
		x := mapServer{self: "s", view: viewOf(t, nil), meta: func() metaGroup { return voter }, suspends: &suspends{clock: clock.NewSimulated(time.Now)}}
		s, c := w.Start("s", peer.ServerConfig{}, nil, x.register), w.Start("c", peer.ServerConfig{}, nil, nil)
		defer s.Close()
		defer c.Close()
		for _, known := range []bool{true, false} {
			if !known {
				w.Remove("c")
			}
			got, err := methodPoll.Ask(t.Context(), c.Pool.Remote("s"), &poll{})
			if err != nil || len(got.Map) == 0 || (len(got.Roll) > 0) != known {
				t.Errorf("known %v: %d bytes of map, %d of roll, %v", known, len(got.Map), len(got.Roll), err)
			}
		}
	})
}

// TestLearning: callers that the map does not name share the fetches of the newest map, of which there is one a second, and each waits
// for one that begins after it has come. It waits for 2 s at most.
func TestLearning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int64
		var endless atomic.Bool
		r := refresher{refresh: func(ctx context.Context) error {
			if endless.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			fetches.Add(1)
			return nil
		}}
		results := make(chan error, 100)
		learn := func(n int) {
			for range n {
				go func() { results <- r.learn(context.Background()) }()
			}
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		learn(1)
		if fetches.Load() != 1 || len(results) != 1 {
			t.Errorf("%d fetches, %d answers", fetches.Load(), len(results))
		}
		learn(50)
		if fetches.Load() != 1 || len(results) != 1 {
			t.Errorf("within the second: %d fetches, %d answers", fetches.Load(), len(results))
		}
		time.Sleep(learnEvery)
		synctest.Wait()
		if fetches.Load() != 2 || len(results) != 51 {
			t.Errorf("after it: %d fetches, %d answers", fetches.Load(), len(results))
		}
		endless.Store(true)
		began := time.Now()
		if err := r.learn(context.Background()); err == nil || time.Since(began) > learnTimeout {
			t.Errorf("a fetch that does not end: %v after %v", err, time.Since(began))
		}
		for len(results) > 0 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}
