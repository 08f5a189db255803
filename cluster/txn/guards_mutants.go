//go:build mutants

package txn

import "os"

// A build with the tag mutants can switch one guard off, to show that the checkers then fail.
var (
	guardLeasesAfterLocks = os.Getenv("EDGEHOLD_MUTANT") != "leases-after-locks"
	guardUnknownApplied   = os.Getenv("EDGEHOLD_MUTANT") != "unknown-applied"
	guardOneInstant       = os.Getenv("EDGEHOLD_MUTANT") != "two-instants"
	guardNearDecider      = os.Getenv("EDGEHOLD_MUTANT") != "near-decider"
)
