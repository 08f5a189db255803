// Package door is what every front that speaks HTTP checks of a request, and in which order: the caller, whether it may ask anything at
// all, whether there is room, how long it may take and how much it may bring. It also counts requests, and catches their panics. A
// front gives a [Front] to [Handler] and answers in its protocol's words. The HTTP API, whose routes differ in what they ask, calls the
// steps of [Exchange] itself.
package door

import (
	"net/http"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// Door is what the exchanges of one front share. It is safe for concurrent use.
type Door struct {
	*front.Backend
	name   string
	node   []string // the node's name as a header's value; nil if there is none
	origin http.CrossOriginProtection
}

// New returns the Door of a front, by the front's name in metrics.
func New(b *front.Backend, name string) *Door {
	d := &Door{Backend: b, name: name}
	if b.Node != "" {
		d.node = []string{string(b.Node)}
	}
	return d
}

// Request is what a front knows of a request by its method, path and headers, before anything is done for it.
type Request struct {
	// Route names the request in metrics. It comes from a small fixed set.
	Route string
	// Ask is what the request is admitted as.
	front.Ask
	// Timeout bounds the request; 0 is [api.DefaultTimeout].
	Timeout time.Duration
}

// Front is a protocol over HTTP. Its functions are called by the goroutine of a request.
type Front struct {
	// Name is the front's name in metrics.
	Name string
	// Look says what a request is. Its error is answered without a look at the credential.
	Look func(r *http.Request) (Request, error)
	// Serve answers a request, by [Exchange.Reply], or returns an error. The error of an answer that has begun cuts it off. It calls [Exchange.Body] for the body. The
	// contexts of x that it uses are Ctx and, for what outlives the request's timeout, Base.
	Serve func(x *Exchange) error
	// Fail answers with an error in the protocol's words. status is what the HTTP API would answer; WWW-Authenticate, Retry-After and
	// Connection are set as they belong to it.
	Fail func(x *Exchange, status int, e *api.Error)
}

// Handler returns the handler of a front's requests. It is safe for concurrent use. In order, it determines the principal, refuses
// writes of web pages of other origins, checks that the principal may ask anything, lets the request in, and has it served. What f
// does with keys is checked by [Exchange].Store, key by key.
func Handler(b *front.Backend, f Front) http.Handler {
	d := New(b, f.Name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := new(Exchange)
		defer x.Abandon()
		x.Begin(d, w, r)
		q, err := f.Look(r)
		if err == nil {
			err = x.serve(&f, &q)
		}
		broken := x.replied
		if err != nil {
			x.fail(&f, &q, err)
		}
		if q.Route == "" {
			q.Route = "none"
		}
		x.End(q.Route)
		if broken && err != nil {
			panic(http.ErrAbortHandler) // else a half of an answer would look like a whole one
		}
	})
}

func (x *Exchange) serve(f *Front, q *Request) error {
	if err := x.Identify(); err != nil {
		return err
	}
	if err := x.SameOrigin(); err != nil {
		return err
	}
	if q.Timeout <= 0 {
		q.Timeout = api.DefaultTimeout
	}
	x.Bound(q.Timeout)
	defer x.Ctx.End()
	if err := x.door.Check(x.Base); err != nil {
		return err
	}
	if err := x.LetIn(q.Ask); err != nil {
		return err
	}
	defer x.Leave()
	return x.carryOut(f, q.Route)
}

// carryOut serves the request. A panic is the failure of the request alone.
func (x *Exchange) carryOut(f *Front, route string) (err error) {
	defer x.door.Faults.Catch(route, &err)
	return f.Serve(x)
}

// fail answers with the error err.
func (x *Exchange) fail(f *Front, q *Request, err error) {
	e := Explain(err, q.Writes)
	if e.Code == api.CodeInternal {
		x.door.Log("request failed", "front", f.Name, "route", q.Route, "error", err)
	}
	if x.replied {
		x.span.Fail(string(e.Code))
		return
	}
	status := StatusOf(err, e)
	if AsksToWait(status) {
		x.W.Header()["Retry-After"] = []string{RetryAfter(e)}
	}
	if status == http.StatusUnauthorized {
		x.Unauthenticated()
	}
	f.Fail(x, status, e)
}
