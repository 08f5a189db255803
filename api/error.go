package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Code classifies an error. A Code is itself an error, so that errors.Is(err, api.CodeNotFound) works for errors made in this
// process and for errors that came over a connection. [Code.Applied] says whether a request with this code took effect.
type Code string

// The codes. CodeNotLeader and those after it are used between nodes only: the router tries again or returns CodeUnavailable.
const (
	CodeInvalid            Code = "invalid"             // the request is not valid; change it
	CodeUnauthenticated    Code = "unauthenticated"     // the credential is missing or wrong
	CodeDenied             Code = "denied"              // the credential does not allow the request
	CodeNotFound           Code = "not_found"           // the key is absent
	CodeConflict           Code = "conflict"            // the state forbids the request: a reused id, a range that is not empty
	CodePreconditionFailed Code = "precondition_failed" // a condition did not hold
	CodeTooLarge           Code = "too_large"           // over a limit, which the error names
	CodeLimited            Code = "limited"             // over the rate of the credential; not applied; try again later
	CodeUnavailable        Code = "unavailable"         // no quorum, overload or disconnected; certainly not applied; try again later
	CodeAmbiguous          Code = "ambiguous"           // the outcome is unknown: the request may have been applied, or may yet be
	CodeInternal           Code = "internal"            // a fault in the program; whether a write was applied is unknown

	CodeNotLeader   Code = "not_leader"   // ask the leader in Error.Leader; not applied
	CodeWrongGroup  Code = "wrong_group"  // this group does not own the key at that epoch; not applied
	CodeSessionDead Code = "session_dead" // the session is unknown or DEAD: open a new one
)

func (c Code) Error() string { return string(c) }

// ErrLevel is the cause of a CodeUnavailable that lasts until an operator has upgraded every node: the level of the cluster lacks what the
// request needs. It is known at the node that found that out, and lost between nodes, as all causes are.
var ErrLevel = errors.New("the level of the cluster is too low")

// Applied reports whether a call that failed with this code may have taken effect: "no" or "unknown".
func (c Code) Applied() string {
	if c == CodeAmbiguous || c == CodeInternal {
		return "unknown"
	}
	return "no"
}

// HTTPStatus returns the HTTP status of the code. It is the only table from codes to statuses.
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
	case CodeLimited:
		return http.StatusTooManyRequests
	case CodeUnavailable, CodeNotLeader, CodeWrongGroup, CodeSessionDead:
		return http.StatusServiceUnavailable
	case CodeAmbiguous:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// Error is the only error type that travels over a connection. Programs should look only at Code; the other fields are for
// people.
type Error struct {
	Code Code   `cbor:"1,keyasint"`
	Op   string `cbor:"2,keyasint,omitempty"` // the operation: "put", "confirm"
	Key  Key    `cbor:"3,keyasint,omitempty"` // the key concerned, if there is one
	Hint string `cbor:"4,keyasint,omitempty"` // what is wrong and what to do next
	// Leader is the node to ask instead (CodeNotLeader). It is empty if the leader is unknown.
	Leader NodeID `cbor:"5,keyasint,omitempty"`
	// RetryAfter is how long to wait before the next try (CodeUnavailable, CodeLimited). If it is 0, the receiver chooses.
	RetryAfter time.Duration `cbor:"6,keyasint,omitempty"`
	// Version is the key's current version (CodeNotFound, CodePreconditionFailed).
	Version Version `cbor:"7,keyasint,omitempty"`
	// Unknown means that this call did nothing, but an earlier one with the same RequestID may have been applied.
	Unknown bool `cbor:"8,keyasint,omitempty"`
	// Err is the cause. It is not sent over a connection.
	Err error `cbor:"-"`
}

// Errorf returns an Error with the code and the formatted text as its Hint.
func Errorf(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Hint: fmt.Sprintf(format, args...)}
}

// Applied reports whether the request may have taken effect, through this call or an earlier one: "no" or "unknown".
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

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the error's own code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// CodeOf returns the code of err. It is the error's own code if err is or wraps an [Error] or a [Code], "" if err is nil, and
// CodeInternal otherwise.
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

// AsError returns the [Error] that err is or wraps. If there is none, it returns a new Error that wraps err and has its code.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: CodeOf(err), Err: err}
}
