package door

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

// statusError is an error whose status is not that of its code.
type statusError struct {
	status int
	err    *api.Error
}

// WithStatus returns e as an error that is answered with a status that is not that of its code.
func WithStatus(status int, e *api.Error) error { return &statusError{status, e} }

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// StatusOf returns the status that err is answered with: that of [WithStatus], else that of e, which err is to the client.
func StatusOf(err error, e *api.Error) int {
	if s, ok := errors.AsType[*statusError](err); ok {
		return s.status
	}
	return e.Code.HTTPStatus()
}

// StatusText returns the status as a label.
func StatusText(status int) string {
	if status == http.StatusOK {
		return "200"
	}
	return strconv.Itoa(status)
}

// AsksToWait reports whether an answer with the status says when to come back.
func AsksToWait(status int) bool {
	return status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests
}

// RetryAfter is the header's value: whole seconds.
func RetryAfter(e *api.Error) string {
	return strconv.FormatFloat(max(1, math.Ceil(e.RetryAfter.Seconds())), 'f', -1, 64)
}

// Explain is err as a client may see it: codes between nodes become unavailable, and an error that does not say whether
// a write happened becomes ambiguous. writes: the request may have changed something. The error is the caller's own.
func Explain(err error, writes bool) *api.Error {
	var e api.Error
	switch known, ok := errors.AsType[*api.Error](err); {
	case ok:
		e = *known
	case isCode(err):
		e.Code = api.CodeOf(err)
	case writes:
		e = api.Error{Code: api.CodeAmbiguous, Hint: "the answer did not come"}
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		e = api.Error{Code: api.CodeUnavailable, Hint: "the time ran out"}
	default:
		e.Code = api.CodeInternal
	}
	switch e.Code {
	case api.CodeNotLeader, api.CodeWrongGroup, api.CodeSessionDead:
		e.Code = api.CodeUnavailable
		e.Hint = "the owner of the key is changing"
	}
	if e.Code.HTTPStatus() == http.StatusInternalServerError { // also what is no code of ours
		e.Code = api.CodeInternal
	}
	if e.Code == api.CodeUnavailable && e.RetryAfter == 0 {
		e.RetryAfter = defaultRetryAfter
	}
	return &e
}

// defaultRetryAfter is used if what was unavailable names no time: about that of a request around the world.
const defaultRetryAfter = 200 * time.Millisecond

func isCode(err error) bool {
	_, ok := errors.AsType[api.Code](err)
	return ok
}
