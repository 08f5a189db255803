//go:build mutants

package logstore

import "os"

// Without it, only appends reopen a log that failed.
var guardHealOnRead = os.Getenv("EDGEHOLD_MUTANT") != "heal-on-read"
