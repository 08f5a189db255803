//go:build !mutants

package leasecache

// The guards whose absence the checkers must notice; see guards_mutants.go.
const (
	guardFence            = true // a grant at or below the fence is refused
	guardDeclineDrops     = true // a lease that is declined takes the entry under an earlier one with it
	guardReleaseAfterDrop = true // a lease is released when its entry has gone
)
