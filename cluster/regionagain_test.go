package cluster

import (
	"context"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestRegionAgain: a region that owns nothing is removed with its servers and groups, after its votes in the meta group have gone
// to others. Its name can be used again, by servers with other names: they found groups anew, which serve every node.
func TestRegionAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3")
		server := func(id, region string) *Node {
			l, err := f.fabric.Listen(id, region)
			if err != nil {
				t.Fatal(err)
			}
			cfg := f.config(api.NodeID("x-"+id), api.RoleServer)
			_ = cfg.Listener.Close()
			dial := f.fabric.Dialer(id)
			cfg.ID, cfg.Region, cfg.Listener, cfg.Dir, cfg.Join = api.NodeID(id), api.RegionID(region), l, t.TempDir(), []string{"s1", "s2", "s3"}
			cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, address) }
			cfg.OnRemoved = func(err error) { f.removed.put(cfg.ID, err) }
			f.configs[cfg.ID] = cfg
			f.nodes[cfg.ID] = f.open(cfg)
			f.ready(f.nodes[cfg.ID])
			return f.nodes[cfg.ID]
		}
		u1 := server("u1", "u")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := f.nodes["s1"].SetPlacement(ctx, "u/", "u"); err != nil {
			t.Fatal(err)
		}
		for range 30 {
			put(t, f.nodes["s2"], "u/k", "v")
			read(t, f.nodes["s3"], "u/k")
		}
		for range 5 { // its term rises
			x := u1.members.get("u.1")
			_ = x.raft.Transfer(ctx, "")
		}
		f.refused(func(ctx context.Context) (*api.Progress, error) { return f.nodes["s1"].RemoveRegion(ctx, "u") }, "u owns 1 ranges: move them first")
		if _, err := f.nodes["s1"].Store().Do(ctx, &api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "u/k"}}}); err != nil {
			t.Fatal(err)
		}
		if err := f.nodes["s1"].SetPlacement(ctx, "u/", "r"); err != nil {
			t.Fatal(err)
		}
		f.done(func(ctx context.Context) (*api.Progress, error) { return f.nodes["s1"].RemoveRegion(ctx, "u") })
		soon(t, func() bool { return f.removed.of("u1") != nil })
		f.kill("u1")
		if g, _ := f.nodes["s1"].membership.view.Map().Group(ident.MetaGroup); slices.Contains(g.Voters, "u1") {
			t.Error("a removed server has a vote")
		}
		time.Sleep(time.Minute)
		put(t, f.nodes["s2"], "u/k", "v1")
		if _, err := f.nodes["s1"].Store().Do(ctx, &api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "u/k"}}}); err != nil {
			t.Fatal(err)
		}
		server("u2", "u")
		time.Sleep(5 * time.Second)
		if err := f.nodes["s1"].SetPlacement(ctx, "u/", "u"); err != nil {
			t.Fatal(err)
		}
		for id, n := range f.nodes {
			c, cancel := context.WithTimeout(ctx, 20*time.Second)
			if _, err := n.Store().Do(c, &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "u/k", Value: []byte(id)}}}); err != nil {
				t.Errorf("%s cannot write: %v", id, err)
			}
			cancel()
			for other, m := range f.nodes {
				if got := read(t, m, "u/k"); len(got.Entries) == 0 || string(got.Entries[0].Value) != string(id) {
					t.Errorf("%s wrote, and %s reads %+v", id, other, got.Entries)
				}
			}
		}
	})
}
