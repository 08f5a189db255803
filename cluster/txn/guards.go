//go:build !mutants

package txn

// The guards whose absence the checkers must notice; see guards_mutants.go.
const (
	guardLeasesAfterLocks = true
	guardUnknownApplied   = true
	guardNearDecider      = true // a group that is not known to be well is not relied on
)
