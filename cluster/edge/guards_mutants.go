//go:build mutants

package edge

import "os"

var guardFence = os.Getenv("EDGEHOLD_MUTANT") != "fence"
