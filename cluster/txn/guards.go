//go:build !mutants

package txn

// The guards whose absence the checkers must notice; see guards_mutants.go.
const (
	guardLeasesAfterLocks = true
	guardUnknownApplied   = true
	guardNearDecider      = true
)
