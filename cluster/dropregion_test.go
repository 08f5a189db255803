package cluster

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestRemoveRegion: the region that owns the keys stays; another one gives its vote in the meta group to a server elsewhere, is removed
// with all its servers, which end, and its keys' clients notice nothing. Repeated at another server, the order succeeds; a new server
// may found the region again, under a new name.
func TestRemoveRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{newBubble(t), map[api.NodeID]Config{}, map[api.NodeID]*Node{}, &removals{}}
		start := func(id api.NodeID, role api.Role) {
			cfg := f.config(id, role)
			cfg.Region, cfg.Dir = api.RegionID(id[:1]), t.TempDir()
			if cfg.Bootstrap = id == "a1"; !cfg.Bootstrap {
				cfg.Join = []string{"a1", "a2", "b1"}
			}
			cfg.OnRemoved = func(err error) { f.removed.put(id, err) }
			f.nodes[id] = f.open(cfg)
			f.ready(f.nodes[id])
		}
		for _, id := range []api.NodeID{"a1", "a2", "a3", "b1", "c1", "c2"} {
			start(id, api.RoleServer)
		}
		start("c9", api.RoleEdge)
		soon(t, func() bool { v := f.voters(ident.MetaGroup); return v == "a1 b1 c1" || v == "a1 b1 c2" })
		put(t, f.nodes["c9"], "k", "v")
		remove := func(at api.NodeID, r api.RegionID) func(context.Context) (*api.Progress, error) {
			return func(ctx context.Context) (*api.Progress, error) { return f.nodes[at].RemoveRegion(ctx, r) }
		}
		f.refused(remove("b1", "a"), "a owns 1 ranges: move them first")
		f.done(remove("b1", "c"))
		for _, id := range []api.NodeID{"c1", "c2"} {
			soon(t, func() bool { return f.removed.of(id) != nil })
			_ = f.nodes[id].Close()
			delete(f.nodes, id)
		}
		if v := f.voters(ident.MetaGroup); v != "a1 a2 b1" && v != "a1 a3 b1" {
			t.Errorf("voters of meta: %s", v)
		}
		if f.removed.of("c9") != nil {
			t.Errorf("an edge of the region ends: %v", f.removed.of("c9"))
		}
		put(t, f.nodes["c9"], "k", "w")
		m := f.nodes["b1"].membership.view.Map()
		if len(m.GroupsOf("c")) != 0 || !gone(m, "c1") || !gone(m, "c2") {
			t.Errorf("the map has groups %v of c, and has removed %v", m.GroupsOf("c"), m.Retired)
		}
		if p := f.done(remove("a2", "c")); p.Note != "region c has no servers and no groups: it was removed before, or never was" {
			t.Errorf("again, it says %q", p.Note)
		}
		if p, err := f.nodes["a2"].RemoveRegion(t.Context(), ""); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("no region: %+v, %v", p, err)
		}
		start("c3", api.RoleServer)
		soon(t, func() bool { return f.voters("c.1") == "c3" })
		time.Sleep(10 * time.Second)
		put(t, f.nodes["c3"], "k", "x")
	})
}
