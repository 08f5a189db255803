//go:build mutants

package httpd

import "os"

var (
	// Without it the first event of a batch has the id, and a client that goes on from there misses the others.
	guardIDLast = os.Getenv("EDGEHOLD_MUTANT") != "id-first"
	// Without it a write replaces a version that its If-None-Match names.
	guardNoneMatch = os.Getenv("EDGEHOLD_MUTANT") != "none-match"
)
