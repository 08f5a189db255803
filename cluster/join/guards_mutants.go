//go:build mutants

package join

import "os"

// Without it a certificate that a root of the cluster signed is enough, whatever key the map has for the node.
var guardPin = os.Getenv("EDGEHOLD_MUTANT") != "pin"
