package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestFollowerLag watches the gauge of a follower that is cut off and comes back.
func TestFollowerLag(t *testing.T) {
	simulate(t, 3, Limits{CaughtUpEntries: 2}, func(t *testing.T, g *group) {
		l := g.leader()
		g.must(l, "a")
		away := g.others(l.name)[0]
		g.until(5*time.Second, "lag of 0", func() bool { return l.rep.worstLag() == 0 })
		g.net.cut(true, []string{away}, g.others(away)...)
		for i := range 10 {
			g.must(l, fmt.Sprint(i))
		}
		if lag := l.rep.worstLag(); lag != 10 || l.rep.CaughtUp(away) {
			t.Errorf("a follower that lacks 10 entries lags %v, caught up %v", lag, l.rep.CaughtUp(away))
		}
		if g.nodes[away].rep.CaughtUp(l.name) {
			t.Error("a follower reports that a member has caught up")
		}
		g.net.cut(false, []string{away}, g.others(away)...)
		g.until(30*time.Second, "lag of 0", func() bool {
			l := g.leader()
			return l.rep.worstLag() == 0 && l.rep.CaughtUp(g.others(l.name)[0])
		})
	})
}

func TestTimings(t *testing.T) {
	for _, timing := range []Timing{RegionTiming(), WideTiming(), {}, {Heartbeat: 10 * time.Second}, {Heartbeat: 100 * time.Millisecond}} {
		timing.setDefaults()
		for _, f := range []float64{0.001, 0.1, 0.3, 1, 5} {
			cfg := Config{Node: "n", Timing: timing.Scale(f)}
			cfg.Limits.setDefaults()
			if err := raft.ValidateConfig(raftConfig(&cfg)); err != nil {
				t.Errorf("%+v times %v: %v", timing, f, err)
			}
		}
	}
}
