//go:build mutants

package remote

import "os"

var (
	// Without it a node prepares, and decides to commit, the attempts of others.
	guardAttemptOwner = os.Getenv("EDGEHOLD_MUTANT") != "attempt-owner"
	// Without it an edge is believed what has become of a transaction.
	guardResolveHint = os.Getenv("EDGEHOLD_MUTANT") != "resolve-hint"
	// Without it an edge reads and writes keys that it does not serve.
	guardScope = os.Getenv("EDGEHOLD_MUTANT") != "scope"
)
