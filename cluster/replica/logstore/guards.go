//go:build !mutants

package logstore

// guardHealOnRead is a guard whose absence the checks must notice; see guards_mutants.go.
const guardHealOnRead = true
