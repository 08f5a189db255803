//go:build mutants

package lock

import "os"

var (
	// Without it the transaction that asks for a lock has a request id: a repetition gets the stored answer though the entry is gone.
	guardNoRecord = os.Getenv("EDGEHOLD_MUTANT") != "lock-with-record"
	// Without it a release ends whatever tenure the entry has now.
	guardFence = os.Getenv("EDGEHOLD_MUTANT") != "release-without-fence"
	// Without it an attempt whose client has gone deletes the entry that a later attempt of the same request uses.
	guardOwnAttempt = os.Getenv("EDGEHOLD_MUTANT") != "leave-for-others"
	// Without it transactions of clients, also ones across groups, write the entries of locks.
	guardReserved = os.Getenv("EDGEHOLD_MUTANT") != "lock-by-prepare"
)
