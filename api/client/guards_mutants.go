//go:build mutants

package client

import "os"

var (
	// Without it the first event of a batch has the batch's cursor, and a program that goes on from there misses the others.
	guardCursorLast = os.Getenv("EDGEHOLD_MUTANT") != "cursor-early"
	// Without it a watch yields again, after a break, what it has yielded since the last cursor.
	guardRepeats = os.Getenv("EDGEHOLD_MUTANT") != "repeats-applied"
)
