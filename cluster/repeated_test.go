package cluster

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
)

// TestRepeatedOrders: an order whose first answer was lost is repeated after it was carried out, at another server: it succeeds and says
// so, for servers and for edges. A node that never was is not found.
func TestRepeatedOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3", "s4", "s5", "e1", "e2")
		first, again := f.nodes["s3"], f.nodes["s4"]
		says := func(order func(context.Context) (*api.Progress, error), note string) {
			t.Helper()
			for range 2 {
				if p := f.done(order); p.Note != note {
					t.Errorf("it says %q, not %q", p.Note, note)
				}
			}
		}
		f.done(ordered(first.Leave, "e1", false))
		says(ordered(again.Leave, "e1", false), "e1 has left")
		says(ordered(again.Remove, "e1", false), "refused everywhere")
		f.done(ordered(first.Remove, "e2", false))
		says(ordered(again.Remove, "e2", false), "refused everywhere")

		by := func(at *Node) func(context.Context) (*api.Progress, error) {
			return func(ctx context.Context) (*api.Progress, error) { return at.Replace(ctx, "s1", "s5", false) }
		}
		f.done(by(first))
		says(by(again), "s5 votes in 2 groups")
		says(ordered(again.Leave, "s1", false), "s1 has left")
		says(ordered(again.Remove, "s1", false), "refused everywhere")

		for _, order := range []func(context.Context, api.NodeID, bool) (*api.Progress, error){again.Leave, again.Remove} {
			if p, err := order(t.Context(), "e9", false); api.CodeOf(err) != api.CodeNotFound {
				t.Errorf("a node that never was: %+v, %v", p, err)
			}
		}
	})
}
