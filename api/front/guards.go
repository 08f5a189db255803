//go:build !mutants

package front

// The guards whose absence the checks must notice; see guards_mutants.go.
const (
	guardJudgeAgain   = true
	guardHideSlowKeys = true // the list of slow requests shows a key only to those who may list it
	guardKeptDeadline = true // what may not be read is not told by a put that keeps its deadline
)
