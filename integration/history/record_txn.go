package history

import (
	"slices"
	"sync/atomic"
	"time"
)

// instants turns a clock into one that never shows the same time twice, so that of two events that were not at once it is
// known which came first. Safe for concurrent use.
type instants struct {
	now  func() time.Duration
	last atomic.Int64
}

func (i *instants) next() time.Duration {
	for {
		last := i.last.Load()
		t := max(int64(i.now()), last+1)
		if i.last.CompareAndSwap(last, t) {
			return time.Duration(t)
		}
	}
}

// Instant returns the present time of the recorder's clock, or the first later one that no transaction and no other call has.
func (r *Recorder) Instant() time.Duration { return r.instants.next() }

// RunningTxn is a transaction under way. Its methods are safe for concurrent use; one that is never ended has the outcome
// Unknown.
type RunningTxn struct {
	c   *Client
	txn *Txn
}

// BeginTxn records that the client begins a transaction now, with these steps as far as they are known yet.
func (c *Client) BeginTxn(steps ...Step) *RunningTxn {
	t := &Txn{Client: c.id, Steps: append([]Step(nil), steps...), Outcome: Unknown}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.Call = c.instants.next()
	c.txns = append(c.txns, t)
	return &RunningTxn{c, t}
}

// Step records one more step: a read that was answered, or a write that the commit will ask for.
func (r *RunningTxn) Step(s Step) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.txn.Steps = append(r.txn.Steps, s)
}

// End records that the transaction has returned now, with err and, if it succeeded and steps is not nil, with these
// steps in place of those recorded: the writes with the versions that they made.
func (r *RunningTxn) End(steps []Step, err error) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.txn.Return = r.c.instants.next()
	r.txn.Outcome = OutcomeOf(err)
	if r.txn.Outcome == OK && steps != nil {
		r.txn.Steps = append([]Step(nil), steps...)
	}
}

// Txns are all transactions so far, client by client; those under way have the outcome Unknown. The copy is the caller's,
// but for the steps, which are not to be changed.
func (r *Recorder) Txns() []Txn {
	var all []Txn
	for _, c := range r.all() {
		c.mu.Lock()
		for _, t := range c.txns {
			copied := *t
			copied.Steps = slices.Clip(t.Steps)
			all = append(all, copied)
		}
		c.mu.Unlock()
	}
	return all
}
