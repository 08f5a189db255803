//go:build mutants

package admission

import "os"

var (
	// Without it a request that waits for something slow keeps its place among the fast ones.
	guardGiveBack = os.Getenv("EDGEHOLD_MUTANT") != "give-back"
	// Without it one caller may fill a share that others want too.
	guardEqualShares = os.Getenv("EDGEHOLD_MUTANT") != "equal-shares"
	// Without it any number of slow requests for one key are let in.
	guardByKey = os.Getenv("EDGEHOLD_MUTANT") != "slow-by-key"
)
