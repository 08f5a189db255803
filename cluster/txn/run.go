package txn

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// running is one transaction across groups, over all its attempts. It belongs to one goroutine.
type running struct {
	*Coordinator
	txn    *words.Txn
	id     api.RequestID
	named  bool // the id is the request's: then its anchor's group keeps which attempt is under way
	anchor api.Key
	body   [16]byte
	age    uint64
	began  time.Time

	after    ident.TxnID // the newest attempt that is known to be aborted, of which the anchor's group may know
	number   uint64      // of the newest attempt
	attempts int
	pauses   int
	earlier  int // how often an earlier attempt stood against ours
	mode     string

	doubted    bool // some condition did not hold: read before the next attempt
	leasesOff  bool // leases did not last: validate in the groups
	claimFirst bool // a step could not be carried out: that counts only where the claim says that no earlier attempt did it
}

func (c *Coordinator) begin(t *words.Txn) *running {
	r := &running{Coordinator: c, txn: t, id: t.ID, named: !t.ID.IsZero(), age: ageOf(t.Age), began: time.Now(), mode: "m2"}
	if r.named {
		r.anchor, r.body = t.Keys()[0], fsm.Fingerprint(&t.Txn)
	} else {
		r.id = c.own.begin()
	}
	return r
}

// ageOf is the age that a client's request has from here on, over all attempts: as the client says within bounds, or that of a
// request which begins now.
func ageOf(age uint64) uint64 {
	if age == 0 {
		return words.NewAge()
	}
	return words.ClampAge(age, time.Now(), words.MaxClientAge)
}

// end says that nothing more will be decided of the transaction from here.
func (r *running) end() {
	if !r.named {
		r.own.end(r.id.Seq)
	}
}

// run makes attempts until one has an outcome, or the caller's time is up.
func (r *running) run(ctx context.Context) (*api.TxnResult, error) {
	if r.mayOnlyRead() {
		if res, ok, err := r.look(ctx); ok || err != nil {
			r.mode = modeRead
			return res, err
		}
	}
	ctx = admission.WithBudget(ctx) // which the router draws from as well
	for {
		if err := ctx.Err(); err != nil {
			return nil, r.timeUp(err)
		}
		b, err := r.choose(ctx)
		if err != nil {
			return nil, notApplied(err)
		}
		if b.state != nil && !r.named {
			return &api.TxnResult{Entries: b.state}, nil
		}
		out := r.attempt(ctx, b)
		if out.again == "" {
			return out.res, out.err
		}
		if err := admission.Retry(ctx); err != nil {
			return nil, r.timeUp(err)
		}
		r.metrics.retries(1, out.again)
		r.pause(ctx, out.again)
	}
}

// mayOnlyRead tells whether a look at the keys may be all there is to do. A request with an id that may have written when it
// was sent before is carried out as any other: its answer then may stand already.
func (r *running) mayOnlyRead() bool {
	t := r.txn
	if r.named {
		return !writes(t.Then) && !writes(t.Else)
	}
	return !writes(t.Then) || len(t.Else) > 0 && !writes(t.Else)
}

// notApplied: what failed before anything was to be decided has no unknown outcome.
func notApplied(err error) error {
	if api.CodeOf(err) != api.CodeAmbiguous {
		return err
	}
	return &api.Error{Code: api.CodeUnavailable, Op: "txn", Hint: "the groups did not answer in time; nothing was written", Err: err}
}

func (r *running) timeUp(err error) error {
	return &api.Error{Code: api.CodeUnavailable, Op: "txn", RetryAfter: pauseFirst, Err: err,
		Hint: "the time or the number of tries was up before the transaction could be committed; nothing was written"}
}

const (
	// pauseFirst follows the first attempt that met others; each further one is followed by a longer pause, up to pauseMost.
	pauseFirst = 5 * time.Millisecond
	pauseMost  = 250 * time.Millisecond
)

// pause lets the others finish. An attempt that learnt something needs none.
func (r *running) pause(ctx context.Context, cause string) {
	most := pauseMost
	switch cause {
	case causeCondition, causeStep:
		return
	case causeEarlier:
		if r.earlier++; r.earlier == 1 {
			return
		}
		most *= 4 // another gateway carries out the same request: one of the two must be left alone for long enough
	}
	d := min(pauseFirst<<min(r.pauses, 10), most)
	r.pauses++
	timer := time.NewTimer(d/2 + time.Duration(r.cfg.Rand()*float64(d)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// ref names the next attempt. Numbers rise; what is random in them keeps gateways apart that have the same request.
func (r *running) ref(decider api.GroupID) ident.TxnRef {
	r.attempts++
	r.number = (r.number>>16+1)<<16 | uint64(rand.Uint32N(1<<16))
	return ident.TxnRef{
		ID:  ident.TxnID{Client: r.id.Client, Seq: r.id.Seq, Attempt: r.number, Decider: decider},
		Age: r.age, Anchor: r.anchor, Epoch: r.cfg.DedupEpoch(decider).Count,
	}
}

// ended is how an attempt ended: exactly one of res, err and again is set. It is the answer, or the error of the transaction, or
// why another attempt is to be made.
type ended struct {
	res   *api.TxnResult
	err   error
	again string
	// refused: a group said no, and so has nothing of it, and never will. earlier is what stood against the claim, where again is
	// causeEarlier.
	refused bool
	earlier *fsm.Record
}

// The causes of another attempt.
const (
	causeContention = "contention" // an older transaction was in the way
	causePushed     = "pushed"     // somebody had waited too long for this one
	causeLease      = "lease"      // what was read under a lease was written
	causeCondition  = "condition"  // If does not hold, perhaps
	causeStep       = "step"       // a step cannot be carried out, perhaps because an earlier attempt has carried it out
	causeMoved      = "moved"      // a key has another owner
	causeEarlier    = "earlier"    // an earlier attempt stood, and is aborted now
)
