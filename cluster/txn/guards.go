//go:build !mutants

package txn

// The guards whose absence the checkers must notice; see guards_mutants.go.
const (
	guardLeasesAfterLocks = true
	guardUnknownApplied   = true
	guardOneInstant       = true // what is answered as of one instant is of one
	guardNearDecider      = true // a group that is not known to be well is not relied on
)
