//go:build !mutants

package httpd

// The guards whose absence the checks must notice; see guards_mutants.go.
const (
	guardIDLast    = true
	guardNoneMatch = true
)
