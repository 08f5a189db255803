//go:build mutants

package replica

import "os"

var (
	guardQuorumConfirm = os.Getenv("EDGEHOLD_MUTANT") != "quorum-confirm"
	// Without it, entries are under way while leadership moves.
	guardHoldBeforeTransfer = os.Getenv("EDGEHOLD_MUTANT") != "hold-before-transfer"
)
