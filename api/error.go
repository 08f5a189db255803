package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Code classifies an error. It is itself an error, so that errors.Is(err, api.CodeNotFound) holds on both sides of a
// wire. Every code answers "did it happen?": see [Code.Applied].
type Code string

// The codes. Those from CodeNotLeader on stay between nodes: the router turns them into another try or CodeUnavailable.
const (
	CodeInvalid            Code = "invalid"             // the request makes no sense; change it
	CodeUnauthenticated    Code = "unauthenticated"     // no or a wrong credential
	CodeDenied             Code = "denied"              // the credential does not allow it
	CodeNotFound           Code = "not_found"           // the key is absent
	CodeConflict           Code = "conflict"            // the state forbids it: an id reused, a range not empty
	CodePreconditionFailed Code = "precondition_failed" // a condition did not hold
	CodeTooLarge           Code = "too_large"           // over a limit, which the error names
	CodeUnavailable        Code = "unavailable"         // not now: no quorum, overload, cut off; certainly not applied
	CodeAmbiguous          Code = "ambiguous"           // the outcome is unknown: it may have been or may yet be applied
	CodeInternal           Code = "internal"            // a fault in the program; whether a write was applied is unknown

	CodeNotLeader   Code = "not_leader"   // ask the leader in Error.Leader; not applied
	CodeWrongGroup  Code = "wrong_group"  // this group does not own the key at that epoch; not applied
	CodeSessionDead Code = "session_dead" // the session is unknown or DEAD: open a new one
)

func (c Code) Error() string { return string(c) }

// Applied answers "did it happen?": "no", or "unknown".
func (c Code) Applied() string {
	if c == CodeAmbiguous || c == CodeInternal {
		return "unknown"
	}
	return "no"
}

// HTTPStatus is the one table from codes to HTTP statuses.
func (c Code) HTTPStatus() int {
	switch c {
	case CodeInvalid:
		return http.StatusBadRequest
	case CodeUnauthenticated:
		return http.StatusUnauthorized
	case CodeDenied:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeConflict:
		return http.StatusConflict
	case CodePreconditionFailed:
		return http.StatusPreconditionFailed
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeUnavailable, CodeNotLeader, CodeWrongGroup, CodeSessionDead:
		return http.StatusServiceUnavailable
	case CodeAmbiguous:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// Error is the one error type that crosses doors. Only Code is for programs; the rest is for people.
type Error struct {
	Code Code   `cbor:"1,keyasint"`
	Op   string `cbor:"2,keyasint,omitempty"` // what was tried: "put", "confirm"
	Key  Key    `cbor:"3,keyasint,omitempty"` // the key it is about, if one
	Hint string `cbor:"4,keyasint,omitempty"` // what is wrong and what to do next
	// Leader is where to go instead (CodeNotLeader); empty where nobody knows.
	Leader NodeID `cbor:"5,keyasint,omitempty"`
	// RetryAfter is how long to wait before the next try (CodeUnavailable); 0 is the receiver's choice.
	RetryAfter time.Duration `cbor:"6,keyasint,omitempty"`
	// Version is the key's present version (CodeNotFound, CodePreconditionFailed).
	Version Version `cbor:"7,keyasint,omitempty"`
	// Unknown: this call did nothing, but an earlier one with the same RequestID may have been applied.
	Unknown bool `cbor:"8,keyasint,omitempty"`
	// Err is the cause; it stays on this side of a wire.
	Err error `cbor:"-"`
}

// Errorf makes an Error whose hint is the formatted text.
func Errorf(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Hint: fmt.Sprintf(format, args...)}
}

// Applied answers "did it happen?" for the request, by whatever call: "no", or "unknown".
func (e *Error) Applied() string {
	if e.Unknown {
		return "unknown"
	}
	return e.Code.Applied()
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	if e.Key != "" {
		fmt.Fprintf(&b, "%q: ", string(e.Key))
	}
	b.WriteString(string(e.Code))
	if e.Hint != "" {
		b.WriteString(": " + e.Hint)
	}
	if e.Leader != "" {
		fmt.Fprintf(&b, " (leader %s)", e.Leader)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is holds for the error's own code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// CodeOf is the code of err: its own where it is or wraps an [Error] or a [Code], CodeInternal otherwise, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if c, ok := errors.AsType[Code](err); ok {
		return c
	}
	return CodeInternal
}

// AsError is err as an [Error]: itself where it is one, else wrapped with its code.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: CodeOf(err), Err: err}
}
