//go:build mutants

package cursor

import "os"

// A build with the tag mutants can switch one guard off, to show that the checkers then fail.
var (
	guardCover       = os.Getenv("EDGEHOLD_MUTANT") != "cursor-cover"
	guardIncarnation = os.Getenv("EDGEHOLD_MUTANT") != "cursor-incarnation"
)
