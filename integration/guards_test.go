//go:build mutants

package integration

import (
	"fmt"
	"testing"
	"testing/synctest"
)

// TestGuards runs faulty planets while a guard may be switched off (EDGEHOLD_MUTANT): it must fail then, and pass
// otherwise. It stops at the first seed that shows the bug.
func TestGuards(t *testing.T) {
	sum := &total{met: map[string]int{}}
	for seed := uint64(1); seed <= 20 && !t.Failed(); seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { faultySeed(t, seed, 10_400, sum) })
		})
	}
}
