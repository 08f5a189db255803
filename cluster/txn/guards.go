//go:build !mutants

package txn

// The guard whose absence the checkers must notice; see guards_mutants.go.
const guardLeasesAfterLocks = true
