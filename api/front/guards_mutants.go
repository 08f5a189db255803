//go:build mutants

package front

import "os"

var (
	// Without it the rights of a watch are judged when it begins, and never again.
	guardJudgeAgain = os.Getenv("EDGEHOLD_MUTANT") != "judge-again"
	// Without it the list of slow requests shows every key to principals that may observe the cluster.
	guardHideSlowKeys = os.Getenv("EDGEHOLD_MUTANT") != "hide-slow-keys"
	// Without it a put that keeps the deadline of a key shows it to a principal that may not read the key.
	guardKeptDeadline = os.Getenv("EDGEHOLD_MUTANT") != "tell-kept-deadline"
)
