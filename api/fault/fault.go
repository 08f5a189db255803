// Package fault turns the panic of one request into the failure of that request. The panic is counted, logged with its stack, and
// answered with [api.CodeInternal]. Without it, one request that meets a fault in the program would end the process, and the same
// request, sent again to other nodes, would end one process after the other.
//
// It is for goroutines that carry out requests. Goroutines that apply a group's log must not use it: a replica that fails in the
// middle of a command has no valid state to go on with.
package fault

import (
	"errors"
	"net/http"
	"runtime/debug"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
)

// Catcher catches panics and reports them. A nil Catcher catches panics too, but does not report them. A Catcher is safe for
// concurrent use.
type Catcher struct {
	count func(n float64, values ...string)
	log   func(msg string, args ...any)
}

// NewCatcher returns a Catcher that counts in m and logs with log. log takes a message and key-value pairs.
func NewCatcher(m observe.Metrics, log func(msg string, args ...any)) *Catcher {
	return &Catcher{
		count: m.Counter("edgehold_panics_total", "Requests that failed because of a fault in the program, by what was carried out.", "op"),
		log:   log,
	}
}

// Ending is the value of a panic that no Catcher catches. After such a panic the process has no valid state to go on with, for
// example after a failure of its disk.
type Ending interface {
	error
	EndsProcess()
}

// Catch must be deferred. If the function that defers it panics, Catch makes that function return the panic as an error. Whether
// a write happened is then unknown.
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
