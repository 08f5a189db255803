//go:build !mutants

package leasecache

// The guards whose absence the checkers must notice; see guards_mutants.go.
const (
	guardFence            = true // a grant at or below the fence is refused
	guardDeclineDrops     = true // declining a lease also removes the entry under an earlier lease
	guardReleaseAfterDrop = true // a lease is released only after its entry has gone
	guardHolderDeadline   = true // an entry whose deadline may have passed is not served
)
