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
	named  bool // the id is the request's: the anchor's group then keeps which attempt is under way
	anchor api.Key
	body   [16]byte
	age    uint64
	began  time.Time

	after    ident.TxnID // the newest attempt that is known to be aborted and that the anchor's group may know
	number   uint64      // of the newest attempt
	attempts int
	pauses   int
	earlier  int // how often an earlier attempt conflicted with this one
	mode     string

	doubted    bool // some condition did not hold: read before the next attempt
	leasesOff  bool // leases did not last: validate in the groups
	claimFirst bool // a step failed: the failure counts only if the claim shows that no earlier attempt did the step
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

// ageOf returns the age that a client's request has from here on, over all attempts. It is the client's own age within
// bounds, or that of a request that begins now.
func ageOf(age uint64) uint64 {
	if age == 0 {
		return words.NewAge()
	}
	return words.ClampAge(age, time.Now(), words.MaxClientAge)
}

// end notes that this coordinator will decide nothing more about the transaction.
func (r *running) end() {
	if !r.named {
		r.own.end(r.id.Seq)
	}
}

// run makes attempts until one has an outcome or the caller's time is up.
func (r *running) run(ctx context.Context) (*api.TxnResult, error) {
	if r.mayOnlyRead() && atOnce(r.txn.Keys()) {
		if res, ok, err := r.look(ctx); ok || err != nil {
			r.mode = modeRead
			return res, err
		}
	}
	ctx = admission.WithBudget(ctx) // the router draws from it as well
	for {
		if err := ctx.Err(); err != nil {
			return nil, r.timeUp(err)
		}
		b, err := r.choose(ctx)
		if err != nil {
			return nil, notApplied(err)
		}
		if b.state != nil && !r.named && r.atOnce() {
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

// mayOnlyRead reports whether reading the keys may be all there is to do. A request with an id may have written when it
// was sent before. It is carried out like any other, since its answer may exist already.
func (r *running) mayOnlyRead() bool {
	t := r.txn
	if r.named {
		return !writes(t.Then) && !writes(t.Else)
	}
	return !writes(t.Then) || len(t.Else) > 0 && !writes(t.Else)
}

// atOnce reports whether one read has all the keys, and so their state at one instant. Otherwise the groups lock what is read.
func atOnce(keys []api.Key) bool { return len(keys) <= api.MaxReadKeys || !guardOneInstant }

// atOnce reports whether one read has all the keys of the conditions.
func (r *running) atOnce() bool { return atOnce((&api.Txn{If: r.txn.If}).Keys()) }

// notApplied returns the error of something that failed before anything was to be decided. Its outcome is not unknown.
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
	// pauseFirst follows the first attempt that met others. Each further such attempt is followed by a longer pause, up
	// to pauseMost.
	pauseFirst = 5 * time.Millisecond
	pauseMost  = 250 * time.Millisecond
)

// pause lets other transactions finish. An attempt that learned something needs no pause.
func (r *running) pause(ctx context.Context, cause string) {
	most := pauseMost
	switch cause {
	case causeCondition, causeStep:
		return
	case causeEarlier:
		if r.earlier++; r.earlier == 1 {
			return
		}
		most *= 4 // another gateway carries out the same request: one of the two needs enough time without the other
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

// ref returns the name of the next attempt. Numbers rise, whichever gateway makes the attempt. The random part keeps the
// attempts of this node apart that count alike: of two copies of a request, or from before a restart. No two attempts
// may have one name, since a group would take the parts of both for those of one.
func (r *running) ref(decider api.GroupID) (ident.TxnRef, error) {
	r.attempts++
	num := r.cfg.Num()
	if num == 0 && (ident.TxnID{Attempt: r.number}).Numbered() { // another node's: nodes have numbers by now
		return ident.TxnRef{}, &api.Error{Code: api.CodeUnavailable, Op: "txn", RetryAfter: pauseMost,
			Hint: "this node does not know its number in the placement map yet; nothing was written"}
	}
	next, ok := ident.NextAttempt(r.number, num, uint16(rand.Uint32N(1<<16)))
	if !ok {
		return ident.TxnRef{}, &api.Error{Code: api.CodeConflict, Op: "txn", Unknown: true,
			Hint: "the request was tried too often under its id; read before you repeat it under another id"}
	}
	r.number = next
	return ident.TxnRef{
		ID:  ident.TxnID{Client: r.id.Client, Seq: r.id.Seq, Attempt: r.number, Decider: decider},
		Age: r.age, Anchor: r.anchor, Epoch: r.cfg.DedupEpoch(decider).Count,
	}, nil
}

// ended is how an attempt ended. Exactly one of res, err and again is set: the answer, the error of the transaction, or
// the reason for another attempt.
type ended struct {
	res   *api.TxnResult
	err   error
	again string
	// refused reports whether a group voted no. Such a group holds nothing of the attempt and never will. earlier is
	// the record that conflicted with the claim, if again is causeEarlier.
	refused bool
	earlier *fsm.Record
}

// The causes of another attempt.
const (
	causeContention = "contention" // an older transaction was in the way
	causePushed     = "pushed"     // another request had waited too long for this one
	causeLease      = "lease"      // a key that was read under a lease was written
	causeCondition  = "condition"  // If may not hold
	causeStep       = "step"       // a step cannot be carried out, perhaps because an earlier attempt has carried it out
	causeMoved      = "moved"      // a key has another owner
	causeEarlier    = "earlier"    // an earlier attempt conflicted, and is aborted now
)
