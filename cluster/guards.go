//go:build !mutants

package cluster

// The guards whose absence the checkers must notice; see guards_mutants.go.
const (
	guardAskFirst     = true
	guardLeaveToFirst = true
	guardHandOver     = true

	guardRemoveDeadFirst = true
	guardKeepMajority    = true
	guardLevelOfAll      = true
	guardSlowScope       = true
)
