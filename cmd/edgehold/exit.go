package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/edgehold/edgehold/api"
)

// The exit statuses.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitFalse   = 3 // key not found, condition false, lock not given
	exitRemoved = 3 // of a node that was removed from its cluster
	exitUnknown = 4 // a write may or may not have been applied
)

// usageError is an error in the command line or in the settings.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// exitStatus returns the exit status for err.
func exitStatus(err error) int {
	if err == nil {
		return exitDone
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if c, ok := errors.AsType[commandExit](err); ok {
		return c.status
	}
	if _, ok := errors.AsType[notGiven](err); ok {
		return exitFalse
	}
	switch api.CodeOf(err) {
	case api.CodeNotFound, api.CodePreconditionFailed:
		return exitFalse
	case api.CodeAmbiguous:
		return exitUnknown
	}
	return exitFailed
}

// nodeError is the failure of a node that this process runs. The advice for clients of a node does not apply to it.
type nodeError struct{ err error }

func (e *nodeError) Error() string { return e.err.Error() }
func (e *nodeError) Unwrap() error { return e.err }

// asNodeError wraps err in a nodeError; nil stays nil.
func asNodeError(err error) error {
	if err == nil {
		return nil
	}
	return &nodeError{err}
}

// explain returns err in one line, with the next step.
func explain(err error) string {
	_, ours := errors.AsType[*nodeError](err)
	if text, ok := refusedConnection(err); ok && !ours {
		return text
	}
	text := strings.Join(strings.Fields(shortKey(err)), " ")
	text = strings.TrimPrefix(strings.TrimPrefix(text, "edgehold "), "edgehold: ")
	if next := nextStep(err); next != "" && !ours {
		text += "; " + next
	}
	return text
}

// maxShownKey is the maximum size of a key in an error, in bytes.
const maxShownKey = 100

// shortKey returns the text of err, in which a long key is cut.
func shortKey(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*api.Error](err); ok && len(e.Key) > maxShownKey {
		text = strings.ReplaceAll(text, strconv.Quote(string(e.Key)), strconv.Quote(string(e.Key[:maxShownKey]))+"...")
	}
	return text
}

// refusedConnection explains the most common error: no node runs at the address.
func refusedConnection(err error) (text string, ok bool) {
	e, isOurs := errors.AsType[*api.Error](err)
	op, isNet := errors.AsType[*net.OpError](err)
	if !isOurs || !isNet || e.Code != api.CodeUnavailable || op.Addr == nil {
		return "", false
	}
	if op.Net == "unix" && errors.Is(op, syscall.EACCES) {
		return fmt.Sprintf("%s: this user may not use the admin socket %v: run the command as the user that runs the node", e.Op, op.Addr), true
	}
	if !errors.Is(op, syscall.ECONNREFUSED) {
		return "", false
	}
	if op.Net == "unix" {
		return fmt.Sprintf("%s: no node answers at %v (connection refused): start the node, or name one with --addr", e.Op, op.Addr), true
	}
	return fmt.Sprintf("%s: no node answers at %v (connection refused); start one, for example with \"edgehold dev\", or name one with --addr", e.Op, op.Addr), true
}

func nextStep(err error) string {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		return ""
	}
	switch e.Code {
	case api.CodePreconditionFailed:
		switch {
		case e.Hint != "": // the node has said why
			return ""
		case e.Version.IsZero():
			return "the key has never been written"
		}
		return fmt.Sprintf("the key is now at version %v", e.Version)
	case api.CodeConflict:
		if e.Op == "placement" {
			return fmt.Sprintf("edgehold kv list --prefix %.100q shows the keys", string(e.Key))
		}
	case api.CodeUnavailable:
		switch {
		case errors.Is(err, context.Canceled):
			return "interrupted, nothing was changed"
		case e.Op == "ready": // another node is no answer
			return ""
		}
		return "nothing was changed: try again, or name a running node with --addr"
	case api.CodeAmbiguous:
		if ended(err) { // the hint has the next step
			return ""
		}
		return "the write may or may not have been applied: read the key before you try again"
	case api.CodeUnauthenticated, api.CodeDenied:
		return "check --token (EDGEHOLD_TOKEN)"
	}
	return ""
}
