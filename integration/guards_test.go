//go:build mutants

package integration

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestGuards runs faulty planets while a guard may be switched off (EDGEHOLD_MUTANT): it must fail then, and pass
// otherwise. It stops at the first seed that shows the bug.
func TestGuards(t *testing.T) {
	sum := &total{met: map[string]int{}}
	some := crowd{clients: 10, keys: 18, operations: 5_200, think: 100 * time.Millisecond}
	for seed := uint64(1); seed <= 10 && !t.Failed(); seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { faultySeed(t, seed, some, sum) })
		})
	}
}
