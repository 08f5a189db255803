//go:build mutants

package group

import "os"

// A build with the tag mutants can switch one guard off, to show that the checkers then fail.
var (
	// guardPerHolder bounds the writes that wait for one holder. Without it their number is unbounded.
	guardPerHolder            = os.Getenv("EDGEHOLD_MUTANT") != "per-holder"
	guardGrantAtApply         = os.Getenv("EDGEHOLD_MUTANT") != "grant-at-apply"
	guardConfirmBeforeRenewal = os.Getenv("EDGEHOLD_MUTANT") != "confirm-before-renewal"
	guardRevokeAtPrepare      = os.Getenv("EDGEHOLD_MUTANT") != "revoke-at-prepare"
	guardAskDecider           = os.Getenv("EDGEHOLD_MUTANT") != "ask-decider"
	guardConfirmRefusals      = os.Getenv("EDGEHOLD_MUTANT") != "confirm-refusals"
	guardDoubtOwnClock        = os.Getenv("EDGEHOLD_MUTANT") != "doubt-own-clock"
	guardHolderReturns        = os.Getenv("EDGEHOLD_MUTANT") != "holder-returns"
	guardRefusedLast          = os.Getenv("EDGEHOLD_MUTANT") != "refused-last"
	// guardAwaitRemoved waits for the leases of a removed node to expire. Without it they are taken for expired at once.
	guardAwaitRemoved = os.Getenv("EDGEHOLD_MUTANT") != "await-removed"
	// guardSessionOwner believes a node about its own sessions alone. Without it any node gives up the leases of others.
	guardSessionOwner = os.Getenv("EDGEHOLD_MUTANT") != "session-owner"
	guardReadPosition = os.Getenv("EDGEHOLD_MUTANT") != "read-position"
)
