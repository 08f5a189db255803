//go:build !mutants

package front

// The guards whose absence the checks must notice; see guards_mutants.go.
const (
	guardJudgeAgain   = true
	guardHideSlowKeys = true // the list of slow requests shows a key only to principals that may list it
	guardKeptDeadline = true // a put that keeps a deadline does not show it to a principal that may not read the key
)
