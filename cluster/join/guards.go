//go:build !mutants

package join

// The guards whose absence the checkers must notice; see guards_mutants.go.
const guardPin = true
