package leasecache

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestTimedReads: of few reads each is timed within a KeepAlive, of many a part that is about the sample's, and of those alone that memory
// answers. Both ways of reading are timed, and stale reads apart.
func TestTimedReads(t *testing.T) {
	e, keys := warmEdge(t, stillClock{}, 8)
	observed := 0
	e.meter.timing.leased.observe = func(s float64, _ ...string) {
		if observed++; s < 0 || s > time.Minute.Seconds() {
			t.Errorf("a read took %v s", s)
		}
	}
	read := func() {
		if rand.IntN(2) == 0 {
			if _, _, ok := e.ReadLeased(keys[0]); !ok {
				t.Error("no lease")
			}
			return
		}
		var out api.ReadResult
		if err := e.Read(context.Background(), &api.ReadRequest{Keys: keys[:2]}, &out); err != nil || out.ServedBy != api.ServedByLease {
			t.Error(err)
		}
	}
	e.meter.flush()
	for range timedAtLeast {
		read()
	}
	if a := e.Activity(); a.LeasedTimed.Reads != timedAtLeast || a.StaleTimed.Reads != 0 || observed != timedAtLeast {
		t.Errorf("of %d reads %+v is timed, and %d observed", timedAtLeast, a.LeasedTimed, observed)
	}
	const many = 100 * timedOne
	for range many {
		read()
	}
	if n := e.Activity().LeasedTimed.Reads - timedAtLeast; n < 30 || n > 300 {
		t.Errorf("%d of %d reads are timed", n, many)
	}
	before := e.Activity()
	e.meter.flush()
	_ = e.Read(context.Background(), &api.ReadRequest{Keys: []api.Key{"absent"}}, new(api.ReadResult))
	if _, _, ok := e.ReadLeased("absent"); ok || e.Activity().LeasedTimed != before.LeasedTimed {
		t.Errorf("a read that memory does not answer is timed: %+v", e.Activity())
	}
}
