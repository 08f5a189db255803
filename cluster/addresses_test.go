package cluster

import (
	"context"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

// TestAllAtOtherAddresses: every node of a cluster comes back at another address, and each names one other by --join. They find each
// other, elect, and the map names their new addresses.
func TestAllAtOtherAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		ids := []api.NodeID{"s1", "s2", "s3", "e1"}
		configs, nodes := map[api.NodeID]Config{}, map[api.NodeID]*Node{}
		for _, id := range ids {
			role := api.RoleServer
			if id == "e1" {
				role = api.RoleEdge
			}
			cfg := b.config(id, role)
			cfg.Dir = t.TempDir()
			if cfg.Bootstrap = id == "s1"; !cfg.Bootstrap {
				cfg.Join = []string{"s1"}
			}
			configs[id], nodes[id] = cfg, b.open(cfg)
			b.ready(nodes[id])
		}
		put(t, nodes["e1"], "k", "v")
		for _, n := range nodes {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
		next := map[api.NodeID]string{"s1": "new-s2", "s2": "new-s1", "s3": "new-s1", "e1": "new-s3"}
		for _, id := range ids {
			cfg := configs[id]
			var err error
			if cfg.Listener, err = b.fabric.Listen("new-"+string(id), "r"); err != nil {
				t.Fatal(err)
			}
			dial := b.fabric.Dialer("new-" + string(id))
			cfg.Dial, cfg.Join = dial, []string{next[id]}
			nodes[id] = b.open(cfg)
		}
		for _, id := range ids {
			b.ready(nodes[id])
		}
		if got := read(t, nodes["e1"], "k"); string(got.Entries[0].Value) != "v" {
			t.Errorf("read %q", got.Entries[0].Value)
		}
		soon(t, func() bool {
			return !slices.ContainsFunc(nodes["e1"].mirror.Map().Nodes, func(o placement.Node) bool { return o.Address != "new-"+string(o.ID) })
		})
		if found := maps.Clone(nodes["s1"].membership.addresses.found); len(found) == 0 {
			t.Error("s1 found no other node")
		}
	})
}

// TestFoundAddress: an address at which a node was found comes before that of the map until the map has a newer one, or another node
// answers there.
func TestFoundAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		cfg := b.config("s1", api.RoleServer)
		cfg.Static = planned(t, "s1", "s2")
		n := b.open(cfg).membership.network
		at := func(want string) {
			t.Helper()
			if got, ok := n.address("s2"); !ok || got != want {
				t.Errorf("s2 is at %q, not %q", got, want)
			}
		}
		at("s2")
		n.addresses.note("s2", foundAt{"there", "s2"})
		at("there")
		n.addresses.note("s2", foundAt{"there", "earlier"})
		at("s2")
		n.addresses.note("s2", foundAt{"there", "s2"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.dial(ctx, "there"); err == nil {
			t.Fatal("an address without a node answers")
		}
		at("s2")
	})
}

func put(t *testing.T, n *Node, key api.Key, value string) {
	t.Helper()
	if _, err := n.Store().Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: key, Value: []byte(value)}}}); err != nil {
		t.Fatal(err)
	}
}
