//go:build mutants

package fsm

import "os"

var mutant = os.Getenv("EDGEHOLD_MUTANT")

var (
	guardTermFence    = mutant != "term-fence"
	guardLeaseCheck   = mutant != "machine-lease-check"
	guardKillWhole    = mutant != "kill-whole-session"
	guardBound        = mutant != "bound-in-apply"
	guardReplayValues = mutant != "replay-values"
	guardNewer        = mutant != "newer-entry"
	guardLaterLease   = mutant != "later-lease"

	guardRevokeAtPrepare  = mutant != "revoke-at-prepare"
	guardGrantUnderIntent = mutant != "grant-under-intent"
	guardWriteUnderIntent = mutant != "write-under-intent"
	guardFinished         = mutant != "finished"
	guardFirstDecision    = mutant != "first-decision"
	guardAbortRecord      = mutant != "abort-record"
	guardWatermark        = mutant != "watermark"
	guardAttemptAge       = mutant != "attempt-age"
	guardExpireVersion    = mutant != "expire-any-version"
	guardExpireUnderLease = mutant != "expire-under-lease"
	guardTouchRaises      = mutant != "touch-lowers"
	guardAddKeeps         = mutant != "add-clears-deadline"
	guardKeepTTL          = mutant != "keep-ttl-clears"
	guardFunctionLevel    = mutant != "functions-at-any-level"
	guardManyOps          = mutant != "many-ops-at-any-level"
	guardEpochLineage     = mutant != "epoch-lineage"
	guardListPosition     = mutant != "list-position-late"

	guardFenceEpoch     = mutant != "epoch-plus-one"
	guardEventAtResolve = mutant != "position-by-version"
	guardHistoryRow     = mutant != "history-in-memory"
	guardHistoryBegin   = mutant != "floor-at-enable"
	guardHistoryHole    = mutant != "history-hole"
	guardHistoryStays   = mutant != "cede-drops-history"
	guardHistoryFloor   = mutant != "floor-not-raised"
)
