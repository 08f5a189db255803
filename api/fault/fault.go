// Package fault makes the panic of one request the failure of that request: it is counted, logged with its stack, and answered
// with [api.CodeInternal]. Without it a worker that carries out requests would end its process by the first one that meets
// a fault in the program, and the same request, sent again elsewhere, one process after the other.
//
// It is for goroutines that carry out requests. What applies a group's log catches nothing: a replica that has failed in the
// middle of a command has no state to go on with.
package fault

import (
	"errors"
	"net/http"
	"runtime/debug"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
)

// Catcher catches panics and reports them. A nil Catcher catches them, too, but reports nothing. Safe for concurrent use.
type Catcher struct {
	count func(n float64, values ...string)
	log   func(msg string, args ...any)
}

// NewCatcher returns a Catcher that counts in m and logs by log, which takes a message and key-value pairs.
func NewCatcher(m observe.Metrics, log func(msg string, args ...any)) *Catcher {
	return &Catcher{
		count: m.Counter("edgehold_panics_total", "Requests that failed because of a fault in the program, by what was carried out.", "op"),
		log:   log,
	}
}

// Ending is a panic's value that no Catcher catches: the process has no state to go on with, such as after a failure of its
// disk.
type Ending interface {
	error
	EndsProcess()
}

// Catch is to be deferred. It makes the panic of the function that defers it, if there is one, the error that the function
// returns: whether a write happened is then unknown.
func (c *Catcher) Catch(op string, err *error) {
	x := recover()
	if x == nil {
		return
	}
	if e, ok := x.(error); ok {
		if _, ends := errors.AsType[Ending](e); ends || errors.Is(e, http.ErrAbortHandler) {
			panic(x)
		}
	}
	if c != nil {
		c.count(1, op)
		c.log("a request failed by a fault in the program", "op", op, "panic", x, "stack", string(debug.Stack()))
	}
	*err = &api.Error{Code: api.CodeInternal, Op: op, Hint: "the node met a fault in its program, which its log has; please report it"}
}
