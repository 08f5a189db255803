//go:build !mutants

package httpd

// The guard whose absence the checks must notice; see guards_mutants.go.
const guardIDLast = true
