//go:build !mutants

package logstore

// The checks must notice the absence of this guard; see guards_mutants.go.
const guardHealOnRead = true
