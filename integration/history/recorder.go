package history

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Recorder collects the operations and transactions of many clients. Safe for concurrent use.
type Recorder struct {
	now      func() time.Duration
	instants *instants

	mu      sync.Mutex
	clients map[int]*Client
}

// NewRecorder returns an empty recorder. now is the clock of all operations, counted from anywhere; nil is the process's
// own monotonic clock.
func NewRecorder(now func() time.Duration) *Recorder {
	if now == nil {
		start := time.Now()
		now = func() time.Duration { return time.Since(start) }
	}
	return &Recorder{now: now, instants: &instants{now: now}, clients: map[int]*Client{}}
}

// Client is the part of a recorder that belongs to one client, so that clients do not wait for each other. Safe for
// concurrent use.
type Client struct {
	id       int
	now      func() time.Duration
	instants *instants

	mu   sync.Mutex
	ops  []*Op
	txns []*Txn
}

// Client returns the client with the id, the same one each time.
func (r *Recorder) Client(id int) *Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clients[id]
	if c == nil {
		c = &Client{id: id, now: r.now, instants: r.instants}
		r.clients[id] = c
	}
	return c
}

// Running is an operation under way.
type Running struct {
	c  *Client
	op *Op
}

// Begin records that the client calls op now. Until it is ended its outcome is Unknown.
func (c *Client) Begin(op Op) *Running {
	op.Client, op.Outcome, op.Refused, op.Found = c.id, Unknown, false, Untold
	c.mu.Lock()
	defer c.mu.Unlock()
	op.Call = c.now()
	c.ops = append(c.ops, &op)
	return &Running{c, &op}
}

// End records that the call has returned now, with err and, if it succeeded, with the result. If the
// result of a refused CAS has no version, End takes it from err.
func (r *Running) End(result State, err error) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.op.Return = r.c.now()
	r.op.Outcome = OutcomeOf(err)
	if r.op.Outcome != OK {
		return
	}
	r.op.Result = result
	if e, ok := errors.AsType[*api.Error](err); ok {
		r.op.Refused = e.Code == api.CodePreconditionFailed
		if result.Version.IsZero() {
			r.op.Result.Version = e.Version
		}
	}
}

// EndReplaced is End of a Put whose answer says what it replaced. So it is judged as a CAS that asked for that and was not refused.
func (r *Running) EndReplaced(replaced State, err error) {
	r.End(State{}, err)
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.op.Outcome == OK {
		r.op.Kind, r.op.Expect = CAS, replaced
	}
}

// EndFound is End of a Delete whose answer says whether it removed a value.
func (r *Running) EndFound(value bool, err error) {
	r.End(State{}, err)
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	switch {
	case r.op.Outcome != OK:
	case value:
		r.op.Found = FoundValue
	default:
		r.op.Found = FoundNothing
	}
}

// Ops are all operations so far, client by client; those under way have the outcome Unknown. The copy is the caller's.
func (r *Recorder) Ops() []Op {
	var all []Op
	for _, c := range r.all() {
		c.mu.Lock()
		for _, o := range c.ops {
			all = append(all, *o)
		}
		c.mu.Unlock()
	}
	return all
}

// all are the clients, in the order of their ids: the same history has the same verdict each time.
func (r *Recorder) all() []*Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	clients := slices.Collect(maps.Values(r.clients))
	slices.SortFunc(clients, func(a, b *Client) int { return cmp.Compare(a.id, b.id) })
	return clients
}
