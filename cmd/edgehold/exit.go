package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/edgehold/edgehold/api"
)

// The exit statuses.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitFalse   = 3 // key not found, condition false
	exitUnknown = 4 // the write may have been applied or not
)

// usageError is a command line that makes no sense.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// exitStatus is what the process tells its caller about err.
func exitStatus(err error) int {
	if err == nil {
		return exitDone
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	switch api.CodeOf(err) {
	case api.CodeNotFound, api.CodePreconditionFailed:
		return exitFalse
	case api.CodeAmbiguous:
		return exitUnknown
	}
	return exitFailed
}

// explain is err in one line, with what to do next.
func explain(err error) string {
	if text, ok := refusedConnection(err); ok {
		return text
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	text = strings.TrimPrefix(strings.TrimPrefix(text, "edgehold "), "edgehold: ")
	if next := nextStep(err); next != "" {
		text += "; " + next
	}
	return text
}

// refusedConnection explains the commonest error of all: no node runs where it was looked for.
func refusedConnection(err error) (text string, ok bool) {
	e, isOurs := errors.AsType[*api.Error](err)
	op, isNet := errors.AsType[*net.OpError](err)
	if !isOurs || !isNet || e.Code != api.CodeUnavailable || !errors.Is(op, syscall.ECONNREFUSED) || op.Addr == nil {
		return "", false
	}
	return fmt.Sprintf("%s: no node answers at %v (connection refused); start one, such as with \"edgehold dev\", or name one with --addr", e.Op, op.Addr), true
}

func nextStep(err error) string {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		return ""
	}
	switch e.Code {
	case api.CodePreconditionFailed:
		if e.Version.IsZero() {
			return "the key was never written"
		}
		return fmt.Sprintf("the key is now at version %v", e.Version)
	case api.CodeUnavailable:
		if errors.Is(err, context.Canceled) {
			return "interrupted, nothing was changed"
		}
		return "nothing was changed: try again, or name a running node with --addr"
	case api.CodeAmbiguous:
		return "it may have been applied or not: read the key before you try again"
	case api.CodeUnauthenticated, api.CodeDenied:
		return "check --token (EDGEHOLD_TOKEN)"
	}
	return ""
}
