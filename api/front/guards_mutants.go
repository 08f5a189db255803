//go:build mutants

package front

import "os"

var (
	// Without it the rights of a watch are judged when it begins, and never again.
	guardJudgeAgain = os.Getenv("EDGEHOLD_MUTANT") != "judge-again"
)
