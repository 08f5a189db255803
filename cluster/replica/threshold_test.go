package replica

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

func TestDue(t *testing.T) {
	var l Limits
	l.setDefaults()
	for _, c := range []struct{ mean, snapshot, trailing uint64 }{
		{0, 4096, 1024}, {100, 4096, 1024}, {64 << 10, 1024, 256}, {512 << 10, 128, 32}, {8 << 20, 64, 16},
	} {
		if s, tr := l.due(c.mean); s != c.snapshot || tr != c.trailing {
			t.Errorf("entries of %d bytes: %d and %d, want %d and %d", c.mean, s, tr, c.snapshot, c.trailing)
		}
	}
	l.SnapshotEntries, l.TrailingEntries = 20, 5
	if s, tr := l.due(8 << 20); s != 20 || tr != 5 {
		t.Errorf("what was asked for is exceeded: %d and %d", s, tr)
	}
}

// TestGreatEntriesAreCut: a log of few large entries is truncated behind a snapshot like one of many small entries.
func TestGreatEntriesAreCut(t *testing.T) {
	limits := Limits{SnapshotBytes: 1 << 20, SnapshotInterval: time.Second}
	for _, kind := range append(logstore.Kinds(), "") {
		simulateOn(t, kind, 3, limits, Timing{}, func(t *testing.T, g *group) {
			l := g.leader()
			for range 120 {
				if _, err := l.rep.Propose(t.Context(), make([]byte, 20<<10)); err != nil {
					t.Fatal(err)
				}
			}
			g.until(time.Minute, "a log that is cut", func() bool {
				first, err := l.rep.stores.Log.FirstIndex()
				return err == nil && first > 1
			})
		})
	}
}
