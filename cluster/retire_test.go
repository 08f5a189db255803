package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// TestRemoveWhileItStillVotes: the map has given the place of a server to another, which has not caught up, and one of the other
// voters dies. The group still needs the vote of the old one: its removal is refused, with force too. Attack 42.
func TestRemoveWhileItStillVotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3", "s4")
		time.Sleep(5 * time.Second)
		for _, id := range []string{"s1", "s2", "s3"} {
			f.fabric.Cut(id, "s4") // it cannot catch up
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		m := f.nodes["s1"].membership.view.Map()
		for _, g := range m.Groups {
			place := placement.Place{Group: g.ID, Was: g.Voters, Voters: []api.NodeID{"s1", "s3", "s4"}}
			if _, err := f.nodes["s1"].change(ctx, place); err != nil {
				t.Fatal(err)
			}
		}
		f.kill("s3")
		time.Sleep(10 * time.Second)
		p, err := f.nodes["s1"].Remove(ctx, "s2", true)
		if api.CodeOf(err) != api.CodeConflict {
			t.Errorf("it is removed: %+v, %v", p, err)
		}
		time.Sleep(20 * time.Second)
		if f.leader("r.1") == "" || f.leader(ident.MetaGroup) == "" {
			t.Error("a group has lost its living majority")
		}
	})
}

// TestTwoRemovalsAtOnce: of two removals at two servers, each of which would leave two of three voters, one is carried out. Attack 42.
func TestTwoRemovalsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3")
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var done atomic.Int32
		var wg sync.WaitGroup
		for at, victim := range map[api.NodeID]api.NodeID{"s1": "s2", "s3": "s1"} {
			wg.Go(func() {
				_, err := f.nodes[at].Remove(ctx, victim, true)
				if err == nil {
					done.Add(1)
				} else if api.CodeOf(err) != api.CodeConflict {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if done.Load() != 1 {
			t.Errorf("%d of two removals were carried out", done.Load())
		}
	})
}
