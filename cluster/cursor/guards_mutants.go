//go:build mutants

package cursor

import "os"

// A build with the tag mutants can switch the guard off, to show that the checkers then fail.
var guardCover = os.Getenv("EDGEHOLD_MUTANT") != "cursor-cover"
