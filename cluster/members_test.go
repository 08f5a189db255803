package cluster

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// TestMetaVotersFollowTheRegions: once there are three regions, the map's group has a voter in each and no other: those
// of the first region give up their votes, also over a restart, and the loss of a region leaves a majority.
func TestMetaVotersFollowTheRegions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		configs := map[api.NodeID]Config{}
		start := func(id api.NodeID) *Node {
			cfg, again := configs[id]
			if !again {
				cfg = b.config(id, api.RoleServer)
				cfg.Region, cfg.Dir = api.RegionID(id[:1]), t.TempDir()
				if cfg.Bootstrap = id == "a1"; !cfg.Bootstrap {
					cfg.Join = []string{"a1", "a2", "b1"}
				}
				configs[id] = cfg
			} else {
				var err error
				if cfg.Listener, err = b.fabric.Listen(string(id), "r"); err != nil {
					t.Fatal(err)
				}
			}
			n := b.open(cfg)
			b.ready(n)
			return n
		}
		nodes := map[api.NodeID]*Node{}
		for _, id := range []api.NodeID{"a1", "a2", "a3", "b1", "c1"} {
			nodes[id] = start(id)
		}
		voters := func(at *Node) (ids []string) {
			members, _ := at.members.get(ident.MetaGroup).raft.Members()
			for _, m := range members {
				ids = append(ids, m.Node)
			}
			return ids
		}
		settled := func() bool {
			return slices.Equal(voters(nodes["a1"]), []string{"a1", "b1", "c1"}) &&
				nodes["a2"].members.get(ident.MetaGroup) == nil && nodes["a3"].members.get(ident.MetaGroup) == nil
		}
		soon(t, settled)
		for _, id := range []api.NodeID{"a2", "a3"} {
			if err := nodes[id].Close(); err != nil {
				t.Error(err)
			}
			nodes[id] = start(id)
		}
		soon(t, settled)
		if err := nodes["c1"].Close(); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if _, err := nodes["b1"].changes.Join(ctx, placement.Node{ID: "e1", Region: "b", Role: api.RoleEdge, Address: "e1"}); err != nil {
			t.Errorf("without one region the map cannot be changed: %v", err)
		}
	})
}

// soon waits for a condition in virtual time.
func soon(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not so after a minute")
		}
	}
}
