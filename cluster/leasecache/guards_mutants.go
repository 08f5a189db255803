//go:build mutants

package leasecache

import "os"

// A build with the tag mutants can switch one guard off, to show that the checkers then fail.
var (
	guardFence            = os.Getenv("EDGEHOLD_MUTANT") != "fence"
	guardDeclineDrops     = os.Getenv("EDGEHOLD_MUTANT") != "decline-drops"
	guardReleaseAfterDrop = os.Getenv("EDGEHOLD_MUTANT") != "release-applied"
	guardHolderDeadline   = os.Getenv("EDGEHOLD_MUTANT") != "holder-ignores-deadline"
)
