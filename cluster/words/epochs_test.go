package words

import (
	"testing"

	"github.com/edgehold/edgehold/fsm/ident"
)

// TestDedupEpochs checks that epochs of a group only rise, ordered by incarnation first, and do not affect other
// groups.
func TestDedupEpochs(t *testing.T) {
	var d DedupEpochs
	for i, c := range []struct{ incarnation, count, wantIncarnation, want uint64 }{
		{1, 5, 1, 5},
		{1, 7, 1, 7},
		{1, 6, 1, 7},
		{2, 1, 2, 1},
		{1, 9, 2, 1},
	} {
		d.Heard(ident.DedupEpoch{Group: "a", Incarnation: c.incarnation, Count: c.count})
		if got := d.Of("a"); got.Group != "a" || got.Incarnation != c.wantIncarnation || got.Count != c.want {
			t.Errorf("after %d: %+v", i, got)
		}
	}
	if got := d.Of("b"); !got.IsZero() {
		t.Errorf("a group that has said nothing: %+v", got)
	}
}
