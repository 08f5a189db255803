package cluster

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestBetter: of the reports on a group, the newest term counts, and in one term the report of its leader.
func TestBetter(t *testing.T) {
	said := func(term api.Term, leader api.NodeID, applied uint64) api.GroupStatus {
		return api.GroupStatus{Term: term, Leader: leader, Applied: applied}
	}
	for _, c := range []struct {
		name       string
		have, said api.GroupStatus
		by         api.NodeID
		want       uint64 // Applied of the one that counts
	}{
		{"nothing was known", api.GroupStatus{}, said(3, "a", 2), "b", 2},
		{"a newer term, from any node", said(3, "a", 1), said(4, "b", 2), "c", 2},
		{"a newer term without a leader yet", said(3, "a", 1), said(4, "", 2), "c", 2},
		{"an older term, also by its leader", said(4, "a", 1), said(3, "b", 2), "b", 1},
		{"the leader itself", said(4, "a", 1), said(4, "a", 2), "a", 2},
		{"a follower after the leader", said(4, "a", 1), said(4, "a", 2), "b", 1},
		{"a node that knows the leader, after one that does not", said(4, "", 1), said(4, "a", 2), "b", 2},
		{"a node that does not know the leader", said(4, "a", 1), said(4, "", 2), "b", 1},
	} {
		if got := better(c.have, c.said, c.by); got.Applied != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// TestReady: what a node lacks is named in its own words, until it lacks nothing.
func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		lacks := func(n *Node, hint string) {
			t.Helper()
			err := n.Ready(context.Background())
			if api.CodeOf(err) != api.CodeUnavailable || !strings.Contains(api.AsError(err).Hint, hint) || api.AsError(err).RetryAfter <= 0 {
				t.Errorf("%s should lack %q: %v", n.ID(), hint, err)
			}
		}
		lost := b.config("e9", api.RoleEdge)
		lost.Join = []string{"nowhere"}
		alone := b.open(lost)
		lacks(alone, "has not reached its cluster")

		plan := planned(t, "s1", "s2", "s3", "e1")
		start := func(id api.NodeID, role api.Role) *Node {
			cfg := b.config(id, role)
			cfg.Static = plan
			return b.open(cfg)
		}
		s1, e1, stranger := start("s1", api.RoleServer), start("e1", api.RoleEdge), start("e2", api.RoleEdge)
		time.Sleep(5 * time.Second)
		lacks(s1, "the replica of meta has not caught up")
		lacks(e1, "no leader of r.1")
		lacks(stranger, "has not admitted this node")
		for _, n := range []*Node{start("s2", api.RoleServer), start("s3", api.RoleServer), s1, e1, stranger} {
			b.ready(n)
		}
		lacks(alone, "has not reached its cluster")
	})
}

// TestStatus: a cluster's status is the same at every node. A node that does not answer is named as such after a second, and
// sessions and leases are counted at the leaders alone.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		plan := planned(t, "s1", "s2", "s3", "e1", "e2")
		b.fabric.Isolate("e2") // it never comes, and no node learns that
		nodes := map[api.NodeID]*Node{}
		for _, id := range []api.NodeID{"s1", "s2", "s3", "e1"} {
			role := api.RoleServer
			if id == "e1" {
				role = api.RoleEdge
			}
			cfg := b.config(id, role)
			cfg.Static = plan
			nodes[id] = b.open(cfg)
		}
		for _, n := range nodes {
			b.ready(n)
		}
		for range 20 {
			read(t, nodes["e1"], "k")
			time.Sleep(100 * time.Millisecond)
		}
		for id, n := range nodes {
			began := time.Now()
			s, err := n.Status(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("the status at %s took %v", id, took)
			}
			if s.Sessions != 4 || s.Leases != 1 {
				t.Errorf("at %s: %d sessions of four nodes, %d leases on one key", id, s.Sessions, s.Leases)
			}
			for _, x := range s.Nodes {
				if want := map[bool]string{true: "up", false: "unreachable"}[x.Node != "e2"]; x.State != want {
					t.Errorf("at %s: node %s is %s", id, x.Node, x.State)
				}
			}
			if len(s.Groups) != 2 || s.Groups[0].Leader == "" || s.Groups[1].Leader == "" || len(s.Groups[1].Voters) != 3 {
				t.Errorf("at %s: groups %+v", id, s.Groups)
			}
		}
	})
}

func read(t *testing.T, n *Node, key api.Key) *api.ReadResult {
	t.Helper()
	res, err := storetest.Read(context.Background(), n.Store(), &api.ReadRequest{Keys: []api.Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	return res
}
