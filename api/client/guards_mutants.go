//go:build mutants

package client

import "os"

var (
	// Without it the first event of a batch has the batch's cursor, and a program that goes on from there misses the others.
	guardCursorLast = os.Getenv("EDGEHOLD_MUTANT") != "cursor-early"
	// Without it a watch yields again, after a break, what it has yielded since the last cursor.
	guardRepeats = os.Getenv("EDGEHOLD_MUTANT") != "repeats-applied"
	// Without it a lock counts from when the answer came, though its ttl began when the request was carried out.
	guardFromSent = os.Getenv("EDGEHOLD_MUTANT") != "count-from-receipt"
	// Without it a lock counts as held for its whole ttl, by a clock that may be slower than the leader's.
	guardMargin = os.Getenv("EDGEHOLD_MUTANT") != "full-ttl"
)
