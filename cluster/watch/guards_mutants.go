//go:build mutants

package watch

import "os"

// A build with the tag mutants can switch one guard off, to show that the checkers then fail.
var (
	guardMovedSince  = os.Getenv("EDGEHOLD_MUTANT") != "moved-from-now"
	guardOneFeed     = os.Getenv("EDGEHOLD_MUTANT") != "feed-apart"
	guardEarliest    = os.Getenv("EDGEHOLD_MUTANT") != "now-latest"
	guardAnotherLife = os.Getenv("EDGEHOLD_MUTANT") != "another-life"
	guardOwners      = os.Getenv("EDGEHOLD_MUTANT") != "cursor-owners"
	guardOldest      = os.Getenv("EDGEHOLD_MUTANT") != "oldest-silent"
	guardGap         = os.Getenv("EDGEHOLD_MUTANT") != "silent-gap"
	guardWhole       = os.Getenv("EDGEHOLD_MUTANT") != "id-mid-txn"
	guardFirstPage   = os.Getenv("EDGEHOLD_MUTANT") != "last-page-cursor"
	guardPageRepeats = os.Getenv("EDGEHOLD_MUTANT") != "repeats-applied"
)
