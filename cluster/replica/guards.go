//go:build !mutants

package replica

// The checks must notice the absence of each guard; see guards_mutants.go.
const (
	guardQuorumConfirm      = true
	guardHoldBeforeTransfer = true
)
