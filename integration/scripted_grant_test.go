package integration

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestGrantBesideWrite: a read that asks for a lease and a write of the same key reach the leader at almost the same
// instant, in every order and distance from each other. Once both are over, the edge serves what was written.
func TestGrantBesideWrite(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		edge, writer := p.byName["eu-west-edge-1"], p.byName["eu-west-1"]
		for round := range 60 {
			key := api.Key(fmt.Sprintf("eu-west/k%d", round))
			p.put(writer, key, "old")
			time.Sleep(200 * time.Millisecond) // the cool-down after a write
			for range 2 {                      // the third read asks for a lease
				p.reads(edge, key, "old")
			}
			var both sync.WaitGroup
			both.Go(func() {
				time.Sleep(time.Duration(max(0, 20-round)) * 200 * time.Microsecond)
				_, _ = storetest.Read(within(p.t, 10*time.Second), edge.store0(), get(key)) // either value is right
			})
			time.Sleep(time.Duration(max(0, round-20)) * 200 * time.Microsecond)
			p.put(writer, key, "new")
			both.Wait()
			p.reads(edge, key, "new")
		}
	})
}

// TestDeposedLeaderRenewsNothing: a leader that has lost its voters, but not the edge, no longer renews its session. The
// edge, which no other node reaches, stops serving before the new leader lets a write through.
func TestDeposedLeaderRenewsNothing(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const key = "eu-west/k"
		edge, writer := p.byName["ap-south-edge-1"], p.byName["eu-west-edge-1"]
		p.put(writer, key, "old")
		p.lease(edge, key, "old")
		old := p.leader(p.owner(key))
		for _, o := range p.hosts {
			if o.region == old.region && o.role == api.RoleServer && o != old {
				for _, far := range []*host{old, edge} {
					p.fabric.Cut(o.name, far.name)
					p.fabric.Cut(far.name, o.name)
				}
			}
		}
		p.newLeader(p.owner(key), old)
		p.put(writer, key, "new")
		if v, ok := edge.byLease(key); ok {
			p.t.Errorf("after the write the edge serves %q by a lease", v)
		}
		p.fabric.HealAll()
		p.soon(10*time.Second, "the edge reads what was written", func() bool {
			res, err := storetest.Read(context.Background(), edge.store0(), get(key))
			return err == nil && string(res.Entries[0].Value) == "new"
		})
	})
}
