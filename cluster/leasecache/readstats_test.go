package leasecache

import (
	"testing"

	"github.com/edgehold/edgehold/cluster/words"
)

// TestReadStatsGrow: however the keys fall into sets, a table below its limit forgets no count: as many keys as fill half of it, read
// in turn, are each worth a lease at the third read.
func TestReadStatsGrow(t *testing.T) {
	const places, keys = 2048, 1024
	for _, spread := range []uint64{1, 3, 4, 8, 1 << 4} { // every spread-th set of the table at its limit
		st := newReadStats(places, 3, 0)
		for read := 1; read <= 3; read++ {
			for i := range uint64(keys) / spread {
				if worth := st.read(i*spread<<33, words.ClockSample{}); worth != (read == 3) {
					t.Fatalf("one set in %d is used: key %d is worth a lease at read %d: %v", spread, i, read, worth)
				}
			}
		}
		if most := places / setSize; len(st.sets) > most {
			t.Errorf("%d sets, over the limit of %d", len(st.sets), most)
		}
	}
}

// TestReadStatsStayWithinLimit: keys that all fall into one set make the table grow to its limit and no further, and it stays usable.
func TestReadStatsStayWithinLimit(t *testing.T) {
	st := newReadStats(256, 3, 0)
	for i := range uint64(100) {
		st.read(i<<50, words.ClockSample{})
	}
	if len(st.sets) != 256/setSize {
		t.Errorf("%d sets, not %d", len(st.sets), 256/setSize)
	}
	for range 2 {
		st.read(1<<50, words.ClockSample{})
	}
	if !st.read(1<<50, words.ClockSample{}) {
		t.Error("the third read in a row is not worth a lease")
	}
}
