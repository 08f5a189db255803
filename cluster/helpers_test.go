package cluster

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport/wan"
)

// bubble is nodes in memory, for tests in a synctest bubble.
type bubble struct {
	t      *testing.T
	fabric *wan.Fabric
	nodes  []*Node
}

func newBubble(t *testing.T) *bubble { return &bubble{t: t, fabric: wan.NewFabric(1, nil)} }

// config is that of a node of region "r" whose disks are new; the tests complete it.
func (b *bubble) config(id api.NodeID, role api.Role) Config {
	b.t.Helper()
	l, err := b.fabric.Listen(string(id), "r")
	if err != nil {
		b.t.Fatal(err)
	}
	dial := b.fabric.Dialer(string(id))
	stores := map[api.GroupID]*logstore.Memory{}
	return Config{
		ID: id, Region: "r", Role: role, Listener: l, Clock: clock.NewSimulated(time.Now), WideTiming: QuickWideTiming(),
		Dial: func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, address) },
		Stores: func(g api.GroupID) (logstore.Stores, error) { // one goroutine at a time opens replicas
			if stores[g] == nil {
				stores[g] = logstore.NewMemory(time.Millisecond)
			}
			return stores[g].Stores()
		},
	}
}

// open opens a node; at the end of the test all nodes are closed together. It must not be called by two goroutines at once.
func (b *bubble) open(cfg Config) *Node {
	b.t.Helper()
	n, err := Open(context.Background(), cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.nodes = append(b.nodes, n)
	b.t.Cleanup(func() { _ = CloseAll(b.nodes...) }) // again if the test did, or a later node's did
	return n
}

// found opens s1, a server that founds a cluster in a folder of its own, and waits until it is ready.
func (b *bubble) found() *Node {
	b.t.Helper()
	cfg := b.config("s1", api.RoleServer)
	cfg.Bootstrap, cfg.Dir = true, b.t.TempDir()
	n := b.open(cfg)
	b.ready(n)
	return n
}

// static opens the servers s1, s2 and s3 and the edge e1 by a map that does not change, and waits until they are ready.
func (b *bubble) static() (map[api.NodeID]Config, map[api.NodeID]*Node) {
	b.t.Helper()
	plan := planned(b.t, "s1", "s2", "s3", "e1")
	cfgs, nodes := map[api.NodeID]Config{}, map[api.NodeID]*Node{}
	for _, id := range []api.NodeID{"s1", "s2", "s3", "e1"} {
		role := api.RoleServer
		if id == "e1" {
			role = api.RoleEdge
		}
		cfg := b.config(id, role)
		cfg.Static = plan
		cfgs[id], nodes[id] = cfg, b.open(cfg)
	}
	for _, n := range nodes {
		b.ready(n)
	}
	return cfgs, nodes
}

// ready waits until the node is.
func (b *bubble) ready(n *Node) {
	b.t.Helper()
	var err error
	for range 300 {
		if err = n.Ready(context.Background()); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.t.Fatalf("%s is not ready after 30 s: %v", n.ID(), err)
}

// planned is a map of nodes of region "r": servers, and edges if the name begins with an e.
func planned(t *testing.T, ids ...api.NodeID) *placement.Map {
	t.Helper()
	p := Planned{ClusterID: "test"}
	for _, id := range ids {
		role := api.RoleServer
		if id[0] == 'e' {
			role = api.RoleEdge
		}
		p.Nodes = append(p.Nodes, PlannedNode{ID: id, Region: "r", Role: role, Address: string(id)})
	}
	m, err := Plan(p, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
