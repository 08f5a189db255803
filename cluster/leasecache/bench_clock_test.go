package leasecache

import (
	"testing"

	"github.com/edgehold/edgehold/cluster/clock"
)

// BenchmarkLeasedReadSingleRealClock is one read with the clocks of a node.
func BenchmarkLeasedReadSingleRealClock(b *testing.B) { benchSingle(b, clock.System()) }
