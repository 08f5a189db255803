//go:build mutants

package replica

import "os"

var guardQuorumConfirm = os.Getenv("EDGEHOLD_MUTANT") != "quorum-confirm"
