//go:build !mutants

package cursor

// The guards whose absence the checkers must notice; see guards_mutants.go.
const (
	guardCover       = true // a cursor continues only what its pieces cover
	guardIncarnation = true // positions of different incarnations are not compared
)
