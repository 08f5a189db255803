package front

import (
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
)

// Limits bound what the fronts of a node have under way. The zero value of each field is the default named.
type Limits struct {
	// MaxInFlight bounds the requests being answered at once; one more is refused at once. 0 is 2048.
	MaxInFlight int
	// CalmInFlight is how many requests being answered at once are never too many; 0 is 256.
	CalmInFlight int
	// Busy reports whether the processors cannot keep up: then one more than CalmInFlight is refused at once. It is asked by each
	// request beyond so many, and must not block. nil: never.
	Busy func() bool
	// Full is the refusal of a request about the key if its owner has more to do than it can; nil if the request may be carried
	// out. begun are being answered here. The error may be shared. It is asked before anything is done for a request, and must
	// not block. nil: never.
	Full func(k api.Key, writes bool, c api.Consistency, begun int64) *api.Error
	// MaxBytes bounds the memory for what requests bring; one more is refused at once. 0 is 256 MiB.
	MaxBytes int64
}

// Ask describes a request that wants in.
type Ask struct {
	// Key is the key that the request is about, or the first of them; "" if there is none.
	Key api.Key
	// Writes: it is a transaction. Else Consistency is the read's.
	Writes      bool
	Consistency api.Consistency
	// Bytes is the memory for what it brings.
	Bytes int64
}

// Admission decides which requests are let in. What it refuses, it refuses before anything is done for the request; its errors
// are shared, and callers do not change them. It is safe for concurrent use.
type Admission struct {
	limits   Limits
	inFlight atomic.Int64
	bytes    atomic.Int64
	rejected func(n float64, values ...string)

	tooMany, busy, memory *api.Error
}

func newAdmission(l Limits, m observe.Metrics) *Admission {
	orElse(&l.MaxInFlight, 2048)
	orElse(&l.CalmInFlight, 256)
	orElse(&l.MaxBytes, 256<<20)
	if l.Busy == nil {
		l.Busy = func() bool { return false }
	}
	if l.Full == nil {
		l.Full = func(api.Key, bool, api.Consistency, int64) *api.Error { return nil }
	}
	a := &Admission{
		limits:   l,
		rejected: m.Counter("edgehold_front_rejected_total", "Requests refused at once because of load."),
		tooMany:  Overloaded("%d requests are in flight, the limit", l.MaxInFlight),
		busy:     Overloaded("this node has more to do than it can"),
		memory:   Overloaded("request bodies fill the %d bytes of memory for them", l.MaxBytes),
	}
	m.Gauge("edgehold_front_requests_in_flight", "Requests being answered, probes aside.", func() float64 { return float64(a.inFlight.Load()) })
	return a
}

func orElse[T int | int64](field *T, otherwise T) {
	if *field <= 0 {
		*field = otherwise
	}
}

// retryAfter is how long a client refused for load is asked to wait.
const retryAfter = time.Second

// Overloaded returns a refusal for load.
func Overloaded(format string, args ...any) *api.Error {
	e := api.Errorf(api.CodeUnavailable, format, args...)
	e.RetryAfter = retryAfter
	return e
}

// Enter lets a request in, which must [Admission.Leave] with the same bytes, or returns the refusal.
func (a *Admission) Enter(q Ask) *api.Error {
	n := a.inFlight.Add(1)
	e := a.refusal(q, n)
	if e == nil {
		e = a.Reserve(q.Bytes)
	} else {
		a.rejected(1)
	}
	if e != nil {
		a.inFlight.Add(-1)
	}
	return e
}

// Leave ends a request that has entered, and gives back its bytes.
func (a *Admission) Leave(bytes int64) {
	a.Release(bytes)
	a.inFlight.Add(-1)
}

// refusal refuses the n-th request in flight, if it is one too many here or for the owner of its key.
func (a *Admission) refusal(q Ask, n int64) *api.Error {
	if q.Key != "" { // first: under overload it refuses most, and asks no clock
		if e := a.limits.Full(q.Key, q.Writes, q.Consistency, n-1); e != nil {
			return e
		}
	}
	switch {
	case n > int64(a.limits.MaxInFlight):
		return a.tooMany
	case n > int64(a.limits.CalmInFlight) && a.limits.Busy():
		return a.busy
	}
	return nil
}

// Reserve takes memory for what a request brings, which must be given back by [Admission.Release], or returns the refusal.
func (a *Admission) Reserve(bytes int64) *api.Error {
	if a.bytes.Add(bytes) > a.limits.MaxBytes {
		a.bytes.Add(-bytes)
		a.rejected(1)
		return a.memory
	}
	return nil
}

// Release gives memory back.
func (a *Admission) Release(bytes int64) { a.bytes.Add(-bytes) }

// Refused counts a refusal for load that a front made itself.
func (a *Admission) Refused() { a.rejected(1) }
