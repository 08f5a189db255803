//go:build mutants

package fsm

import "os"

var mutant = os.Getenv("EDGEHOLD_MUTANT")

var (
	guardTermFence  = mutant != "term-fence"
	guardLeaseCheck = mutant != "machine-lease-check"
	guardKillWhole  = mutant != "kill-whole-session"
	guardLaterLease = mutant != "later-lease"
	guardNewer      = mutant != "newer-entry"

	guardRevokeAtPrepare  = mutant != "revoke-at-prepare"
	guardGrantUnderIntent = mutant != "grant-under-intent"
	guardWriteUnderIntent = mutant != "write-under-intent"
	guardFinished         = mutant != "finished"
	guardFirstDecision    = mutant != "first-decision"
	guardAbortRecord      = mutant != "abort-record"
	guardWatermark        = mutant != "watermark"
	guardAttemptAge       = mutant != "attempt-age"
	guardEpochLineage     = mutant != "epoch-lineage"
)
