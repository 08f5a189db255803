package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/transport/wan"
)

// TestJoinAnswerLost: a server that was admitted and does not know it, because the leader's answer did not reach it, opens
// its replicas all the same once it does.
func TestJoinAnswerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		start := func(id api.NodeID) *Node {
			cfg := b.config(id, api.RoleServer)
			cfg.Dir, cfg.Voters = t.TempDir(), 5
			if cfg.Bootstrap = id == "s1"; !cfg.Bootstrap {
				cfg.Join = []string{"s1"}
			}
			return b.open(cfg)
		}
		s1 := start("s1")
		b.ready(s1)
		b.ready(start("s2"))
		b.ready(start("s3"))
		b.fabric.SetLink("s1", "s4", wan.Link{Latency: 500 * time.Millisecond})
		s4 := start("s4")
		for known := false; !known; _, known = s1.mirror.Map().Node("s4") {
			time.Sleep(time.Millisecond)
		}
		b.fabric.Cut("s1", "s4") // s1 leads: it founded the cluster, and there was no other candidate
		time.Sleep(time.Minute)
		b.fabric.Heal("s1", "s4")
		b.ready(s4)
	})
}
