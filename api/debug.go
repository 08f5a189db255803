package api

import (
	"context"
	"io"
)

// Debugger is a node that describes itself to an operator looking for a fault.
type Debugger interface {
	// WriteDebug writes the debug bundle of the node, a gzipped tar, and reads nothing of what keys hold. It returns CodeUnavailable if
	// another one is being made.
	WriteDebug(ctx context.Context, w io.Writer) error
}
