package placement

import (
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestDropRegion: a region goes with its groups and servers once it owns nothing and has no vote in the meta group. The ids of its
// servers are never used again.
func TestDropRegion(t *testing.T) {
	m := New()
	if r := apply(t, m, Init{Map: mapOf(t, "a1", "b1", "c1", "d1")}); r.Err != nil {
		t.Fatal(r.Err)
	}
	refused := func(region api.RegionID, hint string) {
		t.Helper()
		if r := apply(t, m, DropRegion{region}); api.CodeOf(r.Err) != api.CodeConflict || api.AsError(r.Err).Hint != hint {
			t.Errorf("dropping %s gave %v", region, r.Err)
		}
	}
	refused("a", "a owns 1 ranges: move them first")
	refused("b", "server b1 of b votes in the meta group: give its place to another server first")
	r := apply(t, m, DropRegion{"d"})
	if r.Err != nil || len(r.Map.GroupsOf("d")) != 0 || !slices.Contains(r.Map.Retired, "d1") {
		t.Fatalf("dropping d gave %+v, %v", r.Map, r.Err)
	}
	if err := r.Map.Check(); err != nil {
		t.Error(err)
	}
	version := r.Map.Version
	if r = apply(t, m, DropRegion{"d"}); r.Err != nil || r.Map.Version != version {
		t.Errorf("again it gave version %d, %v", r.Map.Version, r.Err)
	}
	if r = apply(t, m, Join{server("d1", "d")}); api.CodeOf(r.Err) != api.CodeConflict {
		t.Errorf("a removed server joins: %v", r.Err)
	}
	if r = apply(t, m, Join{server("d2", "d")}); r.Err != nil || len(r.Map.GroupsOf("d")) != 1 {
		t.Errorf("a new server of the region: %v", r.Err)
	}
}
