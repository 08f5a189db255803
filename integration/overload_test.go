package integration

import (
	"testing"
	"time"
)

// TestOverload: far more requests than three servers and an edge can serve, whatever comes back. Some are served all the
// time, the rest are told to come later instead of being kept until their time is over; no lease session lapses, no leader
// changes, and memory stays where it is. What a busy machine may do to processes by itself gets two more tries.
func TestOverload(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	f := newFlood(t, 4, overloadFleet(t, buildBinary(t))...)
	const (
		rate   = 100_000
		lasts  = 5 * time.Second
		memory = 512 << 20 // of a process
	)
	f.closed(64, time.Second, f.put)
	for try := 1; ; try++ {
		before := f.vitals(t)
		came := f.open(rate, lasts, f.put)
		after := f.vitals(t)
		t.Logf("%v; before it %+v, after it %+v", came, before, after)
		if came.bare > 0 || came.other > 0 {
			t.Fatalf("refused without a word on when to come back, or something else: %v", came.odd)
		}
		if after.memory > memory {
			t.Fatalf("a process has taken %.0f MiB", after.memory/(1<<20))
		}
		lost := after.lapsed - before.lapsed + after.died - before.died + after.suspects - before.suspects
		if came.ok > 0 && came.refused > 0 && came.unknown*20 < came.ok && lost == 0 && after.terms == before.terms && after.extended > before.extended {
			return
		}
		if try == 3 {
			t.Fatalf("%.0f sessions were lost, terms rose by %.0f, and %.0f requests a second waited in vain while %.0f were served",
				lost, after.terms-before.terms, came.unknown, came.ok)
		}
	}
}
