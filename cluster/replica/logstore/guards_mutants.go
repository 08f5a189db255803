//go:build mutants

package logstore

import "os"

// Without it a log that failed is opened anew by appends alone.
var guardHealOnRead = os.Getenv("EDGEHOLD_MUTANT") != "heal-on-read"
