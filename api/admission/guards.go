//go:build !mutants

package admission

// The guards whose absence the checkers must notice; see guards_mutants.go.
const (
	guardGiveBack    = true
	guardEqualShares = true
	guardByKey       = true
)
