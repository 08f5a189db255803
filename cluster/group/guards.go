//go:build !mutants

package group

// The guards whose absence the checkers must notice; see guards_mutants.go.
const (
	guardPerHolder            = true
	guardGrantAtApply         = true
	guardConfirmBeforeRenewal = true
	guardRevokeAtPrepare      = true
	guardAskDecider           = true
	guardConfirmRefusals      = true
	guardReadTurn             = true
	guardRefusedLast          = true
	guardHolderReturns        = true
	guardDoubtOwnClock        = true
)
