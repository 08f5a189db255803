//go:build !race

// Raft reads a follower's ID without its mutex while it writes the new address of the same struct. That is harmless, but a race
// to the race detector.

package replica

import (
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
)

func TestUpdateAddress(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		other := g.others(l.name)[0]
		_, index := l.rep.Members()
		if err := l.rep.UpdateAddress(t.Context(), other, "elsewhere", index); err != nil {
			t.Fatal(err)
		}
		wantCode(t, l.rep.UpdateAddress(t.Context(), other, "and again", index), api.CodeConflict)
		wantCode(t, l.rep.UpdateAddress(t.Context(), "x", "nowhere", index), api.CodeNotFound)
		members, _ := l.rep.Members()
		if !slices.Contains(members, Member{Node: other, Address: "elsewhere", Voter: true}) {
			t.Errorf("the members are %v", members)
		}
		g.must(l, "c")
		g.settle()
	})
}
