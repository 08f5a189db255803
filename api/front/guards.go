//go:build !mutants

package front

// The guard whose absence the checks must notice; see guards_mutants.go.
const guardJudgeAgain = true
