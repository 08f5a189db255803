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
	// guardGroupTime counts the smaller of the two clocks as the group's time. Without it a jump and a suspend count too.
	guardGroupTime = os.Getenv("EDGEHOLD_MUTANT") != "wall-time"
	// guardLedTime counts no time without a leader. Without it a leader counts from the newest stamp that it has applied.
	guardLedTime = os.Getenv("EDGEHOLD_MUTANT") != "count-without-leader"
	// guardStamps keeps the log's time close to the leader's. Without it each failover begins all deadlines anew.
	guardStamps = os.Getenv("EDGEHOLD_MUTANT") != "no-stamps"
	// guardExpiryLogged lets a key end by a log entry alone. Without it a leader hides what is overdue by its clock.
	guardExpiryLogged = os.Getenv("EDGEHOLD_MUTANT") != "hide-by-clock"
	// guardExpiryTurn queues an overdue key for the transactions that hold it. Without it they may keep it for ever.
	guardExpiryTurn   = os.Getenv("EDGEHOLD_MUTANT") != "expiry-turn"
	guardReadPosition = os.Getenv("EDGEHOLD_MUTANT") != "read-position"
	// guardFeedConfirm begins a feed from now behind a confirm. Without it a deposed leader begins it in the past.
	guardFeedConfirm = os.Getenv("EDGEHOLD_MUTANT") != "feed-confirm"
	// guardFeedEndsWithLead ends a feed with the lead. Without it a follower delivers what its leader has not applied yet.
	guardFeedEndsWithLead = os.Getenv("EDGEHOLD_MUTANT") != "feed-ahead-of-leader"
	// guardFeedEpoch delivers only events of the epoch that the feed is of.
	guardFeedEpoch = os.Getenv("EDGEHOLD_MUTANT") != "feed-epoch"
	// guardFeedIncarnation takes a position for one of the incarnation in which it was delivered.
	guardFeedIncarnation = os.Getenv("EDGEHOLD_MUTANT") != "feed-incarnation"
	// guardFeedSince begins the feed of a new owner where it took the piece over.
	guardFeedSince = os.Getenv("EDGEHOLD_MUTANT") != "feed-since"
	// guardFeedHalt ends a feed at the take-over of keys that its caller follows beside it.
	guardFeedHalt = os.Getenv("EDGEHOLD_MUTANT") != "feed-halt"
	// guardFeedHaltNow ends a feed from now also if the group took such keys over and gave them up again.
	guardFeedHaltNow = os.Getenv("EDGEHOLD_MUTANT") != "feed-halt-now"
	// guardFeedGap reports changes that are missing.
	guardFeedGap = os.Getenv("EDGEHOLD_MUTANT") != "feed-gap"
	// guardFeedValue adds to an event only the value of its own version.
	guardFeedValue = os.Getenv("EDGEHOLD_MUTANT") != "value-of-later"
)
