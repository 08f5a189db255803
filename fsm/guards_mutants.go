//go:build mutants

package fsm

import "os"

var (
	guardTermFence  = os.Getenv("EDGEHOLD_MUTANT") != "term-fence"
	guardLeaseCheck = os.Getenv("EDGEHOLD_MUTANT") != "machine-lease-check"
	guardKillWhole  = os.Getenv("EDGEHOLD_MUTANT") != "kill-whole-session"
)
