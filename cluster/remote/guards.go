//go:build !mutants

package remote

// The guards whose absence the checkers must notice; see guards_mutants.go.
const (
	guardAttemptOwner = true
	guardResolveHint  = true
	guardScope        = true
)
