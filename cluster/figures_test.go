package cluster

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

// figure is the value of a metric that has no labels, or whose labels are named with it.
func figure(t *testing.T, m metrics, name string) float64 {
	t.Helper()
	for _, line := range scrape(t, m) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// TestFigures checks what a node measures of its disk and of the map that it goes by: nodes with one map have one hash of it.
func TestFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		plan := planned(t, "s1", "e1")
		s := b.config("s1", api.RoleServer)
		s.Static, s.Dir = plan, t.TempDir()
		e := b.config("e1", api.RoleEdge)
		e.Static = plan
		server, edge := b.open(s), b.open(e)
		b.ready(server)
		b.ready(edge)
		read(t, server, "k")
		if free, size := figure(t, server.metrics, "edgehold_disk_free_bytes"), figure(t, server.metrics, "edgehold_disk_size_bytes"); free < 1 || size < free {
			t.Errorf("the disk has %v bytes of which %v are free", size, free)
		}
		if n := figure(t, server.metrics, `edgehold_disk_fsync_seconds_count{group="r.1"}`); n < 1 {
			t.Errorf("%v appends of the group were timed", n)
		}
		for _, n := range []*Node{server, edge} {
			if v := figure(t, n.metrics, "edgehold_meta_map_version"); v != float64(n.mirror.Map().Version) || v < 1 {
				t.Errorf("%s: version %v", n.ID(), v)
			}
		}
		for name, want := range map[string]float64{"edgehold_meta_roll_version": float64(edge.membership.view.Roll().Revision), "edgehold_meta_level": float64(plan.Level), "edgehold_meta_level_newest": float64(placement.NewestLevel), "edgehold_meta_joins_total": float64(max(plan.NextNum, 1) - 1)} {
			if v := figure(t, edge.metrics, name); v != want {
				t.Errorf("%s is %v, want %v", name, v, want)
			}
		}
		if a, b := figure(t, server.metrics, "edgehold_meta_map_hash"), figure(t, edge.metrics, "edgehold_meta_map_hash"); a != b || a == 0 {
			t.Errorf("one map has the hashes %v and %v", a, b)
		}
	})
}
