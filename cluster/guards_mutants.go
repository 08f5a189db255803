//go:build mutants

package cluster

import "os"

var (
	// Without it a server founds a cluster before all have answered that they know of none.
	guardAskFirst = os.Getenv("EDGEHOLD_MUTANT") != "ask-before-founding"
	// Without it a server that has left the founding to another founds all the same.
	guardLeaveToFirst = os.Getenv("EDGEHOLD_MUTANT") != "one-founder"
	// Without it a node that stops leads until it is gone.
	guardHandOver = os.Getenv("EDGEHOLD_MUTANT") != "hand-over"
	// Without it a new voter gets its vote while a dead one that it replaces still counts.
	guardRemoveDeadFirst = os.Getenv("EDGEHOLD_MUTANT") != "remove-dead-first"
	// Without it an order of an operator may leave a group without a living majority.
	guardKeepMajority = os.Getenv("EDGEHOLD_MUTANT") != "keep-majority"
	// Without it the level of the map rises above identities while an edge does not know it.
	guardLevelOfAll = os.Getenv("EDGEHOLD_MUTANT") != "level-of-all"
	// Without it a node that serves some prefixes alone learns of other keys that are slow or hot elsewhere.
	guardSlowScope = os.Getenv("EDGEHOLD_MUTANT") != "slow-scope"
)
