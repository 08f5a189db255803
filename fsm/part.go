package fsm

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Claim records, in the anchor's group, which attempt of a request is under way, so that a client that sends the request again
// finds it. Every attempt of a request with an id makes a Claim, in the group that owns the anchor. Its TxnRef must have an
// Epoch.
type Claim struct {
	// Body is the [Fingerprint] of the whole transaction.
	Body [16]byte `cbor:"1,keyasint"`
	// After is the previous attempt, which the coordinator has seen aborted at its decision group. It is zero for the first
	// attempt. Its client and sequence are those of the transaction.
	After ident.TxnID `cbor:"2,keyasint,omitempty"`
}

// A claim: one byte if there is none. The client and sequence of the attempt before are the transaction's own.

func putClaim(w *codec.Writer, c *Claim) {
	w.Bool(c != nil)
	if c == nil {
		return
	}
	w.Raw(c.Body[:])
	w.Uint(c.After.Attempt)
	w.Text(string(c.After.Decider))
}

func readClaim(r *codec.Reader, id *ident.TxnID) *Claim {
	if !r.Bool() {
		return nil
	}
	c := &Claim{Body: r.Array16(), After: ident.TxnID{Attempt: r.Uint(), Decider: r.Group()}}
	if (c.After.Attempt == 0) != (c.After.Decider == "") {
		r.Fail("half of an attempt")
	}
	if c.After.Attempt != 0 {
		c.After.Client, c.After.Seq = id.Client, id.Seq
	}
	return c
}

func putPart(w *codec.Writer, conds []api.Cond, ops []api.Op) {
	codec.PutList(w, conds, codec.PutCond)
	codec.PutList(w, ops, codec.PutOp)
}

func readPart(r *codec.Reader) ([]api.Cond, []api.Op) {
	return r.Conds(), r.Ops()
}

// checkPart returns an error unless a participant's part is valid and within the limits.
func (v *view) checkPart(ref *ident.TxnRef, conds []api.Cond, ops []api.Op, claim *Claim) *api.Error {
	if err := checkID(&ref.ID); err != nil {
		return err
	}
	if claim != nil && (ref.Anchor == "" || ref.Epoch == 0) {
		return api.Errorf(api.CodeInvalid, "a claim needs an anchor, and the decision group's dedup epoch")
	}
	if claim != nil && len(conds)+len(ops) == 0 {
		return nil
	}
	if err := v.checkSteps(&api.Txn{If: conds, Then: ops}); err != nil {
		return err
	}
	return errAcross(ops)
}

// errAcross returns CodeInvalid if a step cannot be part of a transaction across groups. Nothing locks a prefix, so what such a step
// lists could change before the transaction commits. A touch is not stored in an intent, because a shared one does not stop others.
func errAcross(ops []api.Op) *api.Error {
	for i := range ops {
		if k := ops[i].Kind; k == api.OpTouch || k == api.OpList {
			return ErrAcross(ops[i].Key)
		}
	}
	return nil
}

// ErrAcross is the refusal of a touch or list in a transaction whose keys belong to several groups. Nothing was applied.
func ErrAcross(k api.Key) *api.Error {
	return &api.Error{Code: api.CodeInvalid, Op: "txn", Key: k,
		Hint: "a transaction with touch or list needs all its keys in one group; do that step by itself, or name only keys that share their first two segments"}
}

// part is what a Prepare and a CommitLast have in common.
type part struct {
	txn        *ident.TxnRef
	ackedBelow uint64
	epoch      uint64 // of the group that is to carry the part out, as the Prepare named it
	conds      []api.Cond
	branch     []api.Op
	claim      *Claim
	cleared    []ident.DroppedLease
	killed     []ident.SessionID
}

// doing is what a part would do.
type doing struct {
	writes, reads []api.Key
	entries       []api.Entry
	made          map[api.Key]change
}

// examine refuses a part that cannot be carried out, and otherwise returns what it does. The caller concludes an evaluation.
func (t *tx) examine(p *part, leases bool, res *Result) (does doing, err *api.Error) {
	if err = t.tooMany(p.killed); err != nil {
		return does, err
	}
	if err = t.claimable(p, res); err != nil {
		return does, err
	}
	if err = t.ownsAll(p.conds, p.branch); err != nil {
		return does, err
	}
	does.writes, does.reads = locksOf(p.conds, p.branch)
	if res.Intents = t.blocked(does.writes, does.reads); len(res.Intents) > 0 {
		return does, errIntent(res.Intents)
	}
	if err = t.tested(p.conds); err != nil {
		return does, err
	}
	if t.rules.evaluates {
		err = t.evaluate(&t.room.evaluation, p.branch)
	} else {
		does.entries, does.made, err = t.draftsV1(p.branch, t.index)
	}
	if err != nil {
		return does, err
	}
	if leases {
		err = t.unheld(does.writes, p.cleared, p.killed, res)
	}
	return does, err
}

// claimable refuses a part whose request another attempt has, or that has a result. The claim is made by clear.
func (t *tx) claimable(p *part, res *Result) *api.Error {
	if p.claim == nil {
		return nil
	}
	if _, err := t.owner(p.txn.Anchor); err != nil {
		return err
	}
	id, epoch := t.request(p)
	rec, err := t.stored(&id, epoch, p.txn.Anchor, p.claim.Body)
	if err != nil {
		return err
	}
	if rec == nil {
		return t.roomFor(&id)
	}
	if rec.Anchor != p.txn.Anchor {
		return errReused()
	}
	if rec.Decider != "" {
		before := rec.attempt()
		if before == p.txn.ID || before == p.claim.After && p.txn.ID.Attempt > before.Attempt {
			return nil
		}
	}
	res.Stored = rec
	return errAttempted()
}

func errAttempted() *api.Error {
	return &api.Error{Code: Attempted, Hint: "an earlier attempt of the request stands"}
}

// request is the id of the request whose attempt the part is, and its epoch. The epoch that a part names is its own group's.
func (v *view) request(p *part) (id api.RequestID, epoch ident.DedupEpoch) {
	id = api.RequestID{Client: p.txn.ID.Client, Seq: p.txn.ID.Seq, AckedBelow: p.ackedBelow}
	if p.epoch > 0 {
		epoch = ident.DedupEpoch{Group: v.meta.Group, Incarnation: v.meta.Incarnation, Count: p.epoch}
	}
	return id, epoch
}

// clear takes what is in the way out of it, makes the claim, and notes what the client has acknowledged.
func (t *tx) clear(p *part, writes []api.Key, res *Result) {
	t.kill(p.killed, writes, res)
	t.drop(p.cleared)
	id, epoch := t.request(p)
	if p.claim == nil {
		t.acknowledge(id.Client, p.ackedBelow, t.epochFor(epoch))
		return
	}
	rec := Record{
		Client: id.Client, Seq: id.Seq, Anchor: p.txn.Anchor, Body: p.claim.Body, Epoch: t.epochFor(epoch),
		Attempt: p.txn.ID.Attempt, Decider: p.txn.ID.Decider, DeciderEpoch: p.txn.Epoch,
	}
	if _, before := t.get(t.key.record(id.Client, id.Seq)); before {
		t.set(t.key.record(id.Client, id.Seq), recordRow(&rec))
		t.acknowledge(id.Client, p.ackedBelow, rec.Epoch)
		return
	}
	t.enter(&id, &rec)
}

// roomForReaders refuses a shared intent on a key that has too many.
func (v *view) roomForReaders(reads []api.Key) *api.Error {
	for _, k := range reads {
		if x, ok := v.intents(k); ok && len(x.holders) >= v.limits.readers {
			return &api.Error{Code: api.CodeUnavailable, Key: k, Hint: "the key is at its limit of transactions that read it at once"}
		}
	}
	return nil
}

func (v *view) vote(branch []api.Op, entries []api.Entry, index uint64) *api.TxnResult {
	vote := &api.TxnResult{Committed: true, Entries: entries, Group: v.meta.Group}
	for i := range branch {
		if branch[i].Writes() {
			o, _ := v.shardOf(branch[i].Key)
			vote.Version = api.Version{Epoch: o.Epoch, Index: index}
			break
		}
	}
	return vote
}

// Vote is a participant's answer to a Prepare or CommitLast. A no is as certain as a yes: nothing of the command was applied.
type Vote struct {
	// Txn is the vote yes: an Entry for each step, at the versions that a commit gives them. It is nil if Refused is set, and if
	// a CommitLast had committed before.
	Txn *api.TxnResult `cbor:"1,keyasint,omitempty"`
	// Refused is the vote no, and its reason. Its code may be one of those used only between region and coordinator.
	Refused *api.Error `cbor:"2,keyasint,omitempty"`
	// Stored is what stands against the request's claim, if Refused.Code is Attempted.
	Stored *Record `cbor:"3,keyasint,omitempty"`
	// Decision is the outcome of the attempt, if that is known: for a CommitLast, and if Refused.Code is Finished.
	Decision *Decision  `cbor:"4,keyasint,omitempty"`
	Timing   api.Timing `cbor:"5,keyasint,omitempty"`
	// Unsure means that the vote is a no, but an earlier copy of the same message may still be on its way and get another vote.
	// It is for the sender of both, and is not passed on.
	Unsure bool `cbor:"-"`
}
