//go:build mutants

package consul

import "os"

var (
	// Without it a lock is taken for a session that has ended since the session was looked at.
	guardSessionExists = os.Getenv("EDGEHOLD_MUTANT") != "lock-without-session"
	// Without it a lock whose session has ended is taken at once.
	guardLockDelay = os.Getenv("EDGEHOLD_MUTANT") != "no-lock-delay"
	// Without it the index of a tree is that of its newest key alone.
	guardIndexRises = os.Getenv("EDGEHOLD_MUTANT") != "index-of-keys"
	// Without it the index of a list of sessions stays when one expires.
	guardSessionEnds = os.Getenv("EDGEHOLD_MUTANT") != "index-of-sessions"
	// Without it the keys that are made while their tree is deleted stay.
	guardEmptyTree = os.Getenv("EDGEHOLD_MUTANT") != "tree-deleted-once"
)
