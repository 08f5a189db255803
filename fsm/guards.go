//go:build !mutants

package fsm

// The guards that a mutant may switch off, to show that the checks notice it: see integration/mutants.
const (
	guardTermFence    = true
	guardLeaseCheck   = true
	guardKillWhole    = true
	guardBound        = true // what a command reads and makes is bounded
	guardReplayValues = true // a replay answers what the first answer said
	guardNewer        = true // an entry that this program does not know stops the replica
	guardLaterLease   = true // to give up a lease leaves a later one on the same key

	guardRevokeAtPrepare  = true // a prepare demands that the leases on what it writes are gone
	guardGrantUnderIntent = true // no lease on a key with an exclusive intent
	guardWriteUnderIntent = true // no write of a key with an intent
	guardFinished         = true // a late prepare is refused
	guardFirstDecision    = true // the first that decides is right
	guardAbortRecord      = true // what was aborted is remembered
	guardWatermark        = true // a commit of which no record could be kept is refused
	guardAttemptAge       = true // so is one whose abort may have been forgotten
	guardExpireVersion    = true // an Expire ends a key only at the version that it names
	guardExpireUnderLease = true // an Expire ends no key under a live lease
	guardTouchRaises      = true // a touch never lowers a deadline
	guardAddKeeps         = true // an add keeps the deadline of its key
	guardKeepTTL          = true // a step that keeps the deadline of its key does
	guardFunctionLevel    = true // a leader proposes nothing that the level of its group lacks
	guardManyOps          = true // commands of old versions have no more operations than then
	guardEpochLineage     = true // dedup epochs of two groups are not compared
	guardListPosition     = true // the position of a list is that of the view in which its page was read

	guardFenceEpoch     = true // a new epoch leaves room for the fences of the one before
	guardEventAtResolve = true // an event stands at the command by which it became visible
	guardHistoryRow     = true // what became visible is written with the change
	guardHistoryBegin   = true // a group that rises takes its history for what began then
	guardHistoryHole    = true // nothing is read from below the floor
	guardHistoryStays   = true // a group keeps the history of what it gives up
	guardHistoryFloor   = true // the floor of the history rises with each row that is dropped
)
