//go:build !mutants

package group

// These are the guards whose absence the checkers must detect; see guards_mutants.go.
const (
	guardPerHolder            = true
	guardGrantAtApply         = true
	guardConfirmBeforeRenewal = true
	guardRevokeAtPrepare      = true
	guardAskDecider           = true
	guardConfirmRefusals      = true
	guardReadPosition         = true
	guardRefusedLast          = true
	guardHolderReturns        = true
	guardDoubtOwnClock        = true
	guardSessionOwner         = true
	guardAwaitRemoved         = true
	guardFeedConfirm          = true
	guardFeedEndsWithLead     = true
	guardFeedEpoch            = true
	guardFeedIncarnation      = true
	guardFeedSince            = true
	guardFeedGap              = true
	guardFeedHalt             = true
	guardFeedHaltNow          = true
	guardFeedValue            = true
	guardGroupTime            = true
	guardLedTime              = true
	guardStamps               = true
	guardExpiryLogged         = true
	guardExpiryTurn           = true
)
