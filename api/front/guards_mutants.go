//go:build mutants

package front

import "os"

// Without it the rights of a watch are judged when it begins, and never again.
var guardJudgeAgain = os.Getenv("EDGEHOLD_MUTANT") != "judge-again"
