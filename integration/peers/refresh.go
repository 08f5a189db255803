package main

import (
	"fmt"
	"os"
	"strings"
)

// What stands between these lines of a document is replaced by the figures of a run.
const (
	figuresBegin = "<!-- figures: written by make bench-peers PEERS='-into docs/benchmarks/peers.md' -->\n"
	figuresEnd   = "<!-- end of figures -->\n"
)

// refresh puts the figures into the document.
func refresh(file, figures string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(b), figuresBegin)
	_, after, ok2 := strings.Cut(rest, figuresEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place for figures: the lines %q and %q", file, figuresBegin, figuresEnd)
	}
	return os.WriteFile(file, []byte(before+figuresBegin+"\n"+figures+"\n"+figuresEnd+after), 0o644)
}
