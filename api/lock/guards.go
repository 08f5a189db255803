//go:build !mutants

package lock

// The guards whose absence the checkers must notice; see guards_mutants.go.
const (
	guardNoRecord   = true
	guardFence      = true
	guardOwnAttempt = true
	guardReserved   = true
)
