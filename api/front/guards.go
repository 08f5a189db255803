//go:build !mutants

package front

// The guards whose absence the checks must notice; see guards_mutants.go.
const (
	guardJudgeAgain   = true
	guardKeptDeadline = true // what may not be read is not told by a put that keeps its deadline
)
