//go:build !mutants

package cursor

// The guard whose absence the checkers must notice; see guards_mutants.go.
const guardCover = true // a cursor continues only what its pieces cover
