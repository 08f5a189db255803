//go:build !mutants

package replica

// The guards whose absence the checkers must notice; see guards_mutants.go.
const (
	guardQuorumConfirm      = true
	guardHoldBeforeTransfer = true
)
