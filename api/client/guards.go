//go:build !mutants

package client

// The guards whose absence the checks must notice; see guards_mutants.go.
const (
	guardCursorLast = true
	guardRepeats    = true
	guardFromSent   = true
	guardMargin     = true
)
