package integration

import (
	"testing"
	"time"
)

// TestOverload: far more requests than three servers and an edge can serve, whatever comes back. Some are served all the
// time, the rest are refused with a time to come back instead of being kept until their time is over; no lease session lapses, no leader
// changes, and memory stays where it is. What a busy machine may do to processes by itself gets two more tries.
func TestOverload(t *testing.T) {
	skipUnderRace(t, "starts processes")
	nodes, clients := shareCPUs()
	spawn, end := newSpawner(clients...)
	defer end()
	urls := overloadFleet(t, nodes, buildBinary(t))
	const memory = 512 << 20 // of a process
	for try := 1; ; try++ {
		came := order{URLs: urls, Kind: "puts/streams", Rate: 100_000, Warm: time.Second, Lasts: 5 * time.Second}.run(t, spawn)
		before, after := came.Before, came.After
		t.Logf("%v; before it %+v, after it %+v", came, before, after)
		if came.Bare > 0 || came.Other > 0 {
			t.Fatalf("refused without a word on when to come back, or something else: %v", came.Odd)
		}
		if after.Memory > memory {
			t.Fatalf("a process has taken %.0f MiB", after.Memory/(1<<20))
		}
		lost := after.Lapsed - before.Lapsed + after.Died - before.Died + after.Suspects - before.Suspects
		if came.OK > 0 && came.Refused > 0 && came.Refusal < floodTimeout/4 && came.Unknown*20 < came.OK && lost == 0 && after.Terms == before.Terms && after.Extended > before.Extended {
			return
		}
		if try == 3 {
			t.Fatalf("%.0f sessions were lost, terms rose by %.0f, refusals took up to %v, and %.0f requests a second waited in vain while %.0f were served",
				lost, after.Terms-before.Terms, came.Refusal, came.Unknown, came.OK)
		}
	}
}
