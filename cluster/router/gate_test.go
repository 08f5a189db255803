package router

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestGate: where a leader refuses, fewer requests go to it, down to a number that always may; where it serves, more do
// again. The gate of one group is not that of another.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s gates
		inside := 0
		fill := func() int {
			for s.enter("g") == nil {
				inside++
			}
			return inside
		}
		if n := fill(); n != mostInside {
			t.Fatalf("%d went in at an open gate", n)
		}
		if err := s.enter("g"); api.CodeOf(err) != api.CodeUnavailable || api.AsError(err).RetryAfter == 0 {
			t.Errorf("one too many: %v", err)
		}
		if err := s.enter("other"); err != nil {
			t.Errorf("another group: %v", err)
		}
		empty := func() {
			for ; inside > 0; inside-- {
				s.leave("g", false)
			}
		}
		time.Sleep(time.Second)
		for range 100 {
			s.refused("g") // all of one moment
		}
		empty()
		if n := fill(); n != mostInside*3/4 {
			t.Errorf("%d went in after one refusal", n)
		}
		for range 100 {
			time.Sleep(lowerEvery)
			s.refused("g")
		}
		empty()
		if n := fill(); n != leastInside {
			t.Errorf("%d went in after many", n)
		}
		for range 10 * raiseAfter {
			s.leave("g", true)
			if err := s.enter("g"); err != nil {
				t.Fatal(err)
			}
		}
		if n := fill(); n != leastInside+10 {
			t.Errorf("%d went in when it served again", n)
		}
	})
}
