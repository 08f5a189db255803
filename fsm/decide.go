package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Decision is the outcome of an attempt, as its decision group has decided it.
type Decision struct {
	Txn     ident.TxnID      `cbor:"1,keyasint"`
	Outcome ident.TxnOutcome `cbor:"2,keyasint,omitempty"`
	// Participants are the groups that had prepared. Unresolved are those of them that have not reported yet that they resolved
	// it.
	Participants []api.GroupID `cbor:"3,keyasint,omitempty"`
	Unresolved   []api.GroupID `cbor:"4,keyasint,omitempty"`
	// Held and Outcomes are the result of a commit.
	Held     bool      `cbor:"5,keyasint,omitempty"`
	Outcomes []Outcome `cbor:"6,keyasint,omitempty"`
	// Expired means that no record of the attempt is kept any more, or will be. An intent that still stands must be removed, but
	// a client that sends the request again learns nothing from this.
	Expired bool `cbor:"7,keyasint,omitempty"`
}

// At returns what a group that has intents of the attempt must resolve, if it has asked: aborted, unless the attempt was
// committed and the group has not resolved it before. Intents that appear after that are of a late Prepare. A decision that is
// passed on without being asked for is sent, if it is a commit, only to the groups in Unresolved.
func (d *Decision) At(g api.GroupID) ident.TxnOutcome {
	switch {
	case d.Outcome == ident.TxnUndecided:
		return ident.TxnUndecided
	case d.Outcome == ident.TxnCommitted && slices.Contains(d.Unresolved, g):
		return ident.TxnCommitted
	}
	return ident.TxnAborted
}

// Replay returns the result of the committed transaction, for a client that sends its request again. It does not have the values
// that were read.
func (d *Decision) Replay(t *api.Txn) *api.TxnResult {
	return replayOf(&Record{Committed: d.Held, Outcomes: d.Outcomes}, t)
}

// decision is a row of tableDecision.
type decision struct {
	outcome      ident.TxnOutcome
	epoch        Epoch
	participants []api.GroupID // sorted
	held         bool
	outcomes     []Outcome
}

func (d *decision) row() []byte {
	w := codec.Writer{B: make([]byte, 0, 16+16*len(d.participants)+4*len(d.outcomes))}
	w.Byte(byte(d.outcome))
	w.Uint(uint64(d.epoch))
	if d.outcome == ident.TxnCommitted {
		codec.PutList(&w, d.participants, codec.PutGroup)
		w.Bool(d.held)
		putOutcomes(&w, d.outcomes, api.Version{})
	}
	return w.B
}

func readDecision(r *codec.Reader) decision {
	d := decision{outcome: readOutcome(r), epoch: readEpoch(r)}
	if d.outcome == ident.TxnCommitted {
		d.participants, d.held, d.outcomes = readGroups(r), r.Bool(), readOutcomes(r, api.Version{})
	}
	return d
}

// decided returns what the group has decided on the attempt, if it has stored anything.
func (v *view) decided(id *ident.TxnID) *Decision {
	if v.meta.Decisions == 0 {
		return nil
	}
	row, ok := v.get(v.key.attempt(tableDecision, id))
	if !ok {
		return nil
	}
	d := parse(row, readDecision)
	for i := range d.outcomes {
		d.outcomes[i].Value = slices.Clone(d.outcomes[i].Value)
	}
	out := &Decision{
		Txn: *id, Outcome: d.outcome, Participants: d.participants, Held: d.held, Outcomes: d.outcomes, Unresolved: v.owing(id),
	}
	return out
}

// owing returns the participants that have not resolved.
func (v *view) owing(id *ident.TxnID) []api.GroupID {
	if v.meta.Unresolved == 0 {
		return nil
	}
	row, ok := v.get(v.key.attempt(tableOwing, id))
	if !ok {
		return nil
	}
	return parse(row, readGroups)
}

const kindDecide kind = 17

// Decide decides an attempt in its decision group. The machine of any other group refuses it with CodeWrongGroup. Result.Decision
// is the outcome: the first decision is final, and later ones return it.
type Decide struct {
	Txn        ident.TxnRef
	AckedBelow uint64 // as in [api.RequestID]
	Outcome    ident.TxnOutcome
	// Participants are the groups that have prepared and must resolve. Only a commit has them.
	Participants []api.GroupID
	// Held and Outcomes are the result, for a client that sends the request again: whether Then ran, and an Outcome for each step
	// of the branch. Only a commit has them.
	Held     bool
	Outcomes []Outcome
}

func (Decide) kind() kind { return kindDecide }

func (c Decide) put(w *codec.Writer) {
	putTxnRef(w, &c.Txn)
	w.Uint(c.AckedBelow)
	w.Byte(byte(c.Outcome))
	codec.PutList(w, c.Participants, codec.PutGroup)
	w.Bool(c.Held)
	putOutcomes(w, c.Outcomes, api.Version{})
}

func readDecide(r *codec.Reader) Decide {
	return Decide{
		Txn: readTxnRef(r), AckedBelow: r.Uint(), Outcome: readOutcome(r), Participants: groupList(r), Held: r.Bool(),
		Outcomes: readOutcomes(r, api.Version{}),
	}
}

func (t *tx) decideCommand(c *Decide, res *Result) *api.Error {
	d := &decision{outcome: c.Outcome}
	if c.Outcome == ident.TxnCommitted {
		d.participants, d.held, d.outcomes = slices.Clone(c.Participants), c.Held, ownValues(c.Outcomes)
	}
	return t.decide(&c.Txn, c.AckedBelow, d, res)
}

// ownValues returns outcomes that share no memory with a command.
func ownValues(in []Outcome) []Outcome {
	out := slices.Clone(in)
	for i := range out {
		out[i].Value = slices.Clone(out[i].Value)
	}
	return out
}

const kindPush kind = 18

// Push aborts an attempt, unless it was decided before. It is sent by a group that has met an intent and has waited long enough,
// and by a coordinator that ends an earlier attempt. Result.Decision is the outcome, and [Decision.At] what a group must resolve.
type Push struct{ Txn ident.TxnRef }

func (Push) kind() kind             { return kindPush }
func (c Push) put(w *codec.Writer)  { putTxnRef(w, &c.Txn) }
func readPush(r *codec.Reader) Push { return Push{readTxnRef(r)} }

func (t *tx) push(c *Push, res *Result) *api.Error {
	return t.decide(&c.Txn, 0, &decision{outcome: ident.TxnAborted}, res)
}

// decide makes the decision, unless one was made before or the attempt is older than what is stored.
func (t *tx) decide(ref *ident.TxnRef, ackedBelow uint64, d *decision, res *Result) *api.Error {
	id := &ref.ID
	if err := t.member(id.Decider); err != nil {
		return err
	}
	if err := checkID(id); err != nil {
		return err
	}
	if res.Decision = t.decided(id); res.Decision != nil && guardFirstDecision {
		return nil
	}
	if t.tooOld(ref, ackedBelow) {
		// The answer must never change: as long as a Decide may come, the client's row stays.
		t.acknowledge(id.Client, max(ackedBelow, t.client(id.Client).ackedBelow), max(Epoch(ref.Epoch), t.meta.DedupEpoch))
		res.Decision = &Decision{Txn: *id, Outcome: ident.TxnAborted, Expired: true}
		return nil
	}
	if t.over(ref, d.outcome) {
		res.Decision = &Decision{Txn: *id, Outcome: ident.TxnAborted}
		return nil
	}
	if err := t.roomForDecision(); err != nil {
		return err
	}
	t.acknowledge(id.Client, ackedBelow, max(Epoch(ref.Epoch), t.meta.DedupEpoch))
	t.enterDecision(ref, d, res)
	return nil
}

// tooOld reports whether the attempt is older than what is stored. It is then aborted, or was resolved.
func (v *view) tooOld(ref *ident.TxnRef, ackedBelow uint64) bool {
	return guardWatermark && (v.below(&ref.ID, ackedBelow) || ref.Epoch > 0 && Epoch(ref.Epoch).expired(v.meta.DedupEpoch))
}

// over reports whether an attempt without a record was aborted: it is so old that the record of an abort may be gone, and not so
// old that the record of a commit may be. An attempt that is not known to be young enough cannot be committed any more.
func (v *view) over(ref *ident.TxnRef, outcome ident.TxnOutcome) bool {
	if !v.rules.shortAborts || !guardAttemptAge {
		return false
	}
	if ref.Epoch == 0 { // its sender guarantees that it is less than a day old
		return ref.ID.Seq == 0 && outcome == ident.TxnCommitted
	}
	return Epoch(ref.Epoch).age(v.meta.DedupEpoch) > AttemptEpochs
}

func (v *view) roomForDecision() *api.Error {
	if v.meta.Decisions < v.limits.decisions {
		return nil
	}
	return api.Errorf(api.CodeUnavailable, "the group is at its limit of %d decisions that it remembers", v.limits.decisions)
}

// enterDecision stores a decision that was not there.
func (t *tx) enterDecision(ref *ident.TxnRef, d *decision, res *Result) {
	id := &ref.ID
	d.epoch = max(t.meta.DedupEpoch, Epoch(ref.Epoch))
	slices.Sort(d.participants)
	d.participants = slices.Compact(d.participants)
	res.Decision = &Decision{
		Txn: *id, Outcome: d.outcome, Participants: d.participants, Unresolved: d.participants, Held: d.held, Outcomes: d.outcomes,
	}
	if d.outcome == ident.TxnAborted && !guardAbortRecord {
		return
	}
	if _, before := t.get(t.key.attempt(tableDecision, id)); !before {
		t.meta.Decisions++
	}
	t.set(t.key.attempt(tableDecision, id), d.row())
	if len(d.participants) == 0 {
		return
	}
	if _, before := t.get(t.key.attempt(tableOwing, id)); !before {
		t.meta.Unresolved++
	}
	t.set(t.key.attempt(tableOwing, id), groupsRow(d.participants))
	res.Effect.Decided = id
}

const kindResolved kind = 21

// Resolved is for the decision group: a participant of a committed attempt has resolved it.
type Resolved struct {
	Txn   ident.TxnID
	Group api.GroupID
}

func (Resolved) kind() kind { return kindResolved }

func (c Resolved) put(w *codec.Writer) {
	putTxnID(w, &c.Txn)
	w.Text(string(c.Group))
}

func readResolved(r *codec.Reader) Resolved { return Resolved{readTxnID(r), r.Group()} }

// resolved records that a participant has resolved. A decision that no group will ask for any more is dropped.
func (t *tx) resolved(c *Resolved, _ *Result) *api.Error {
	if err := t.member(c.Txn.Decider); err != nil {
		return err
	}
	left := t.owing(&c.Txn)
	i, owes := slices.BinarySearch(left, c.Group)
	if !owes {
		return nil
	}
	if left = slices.Delete(left, i, i+1); len(left) > 0 {
		t.set(t.key.attempt(tableOwing, &c.Txn), groupsRow(left))
		return nil
	}
	t.del(t.key.attempt(tableOwing, &c.Txn))
	t.meta.Unresolved--
	if t.below(&c.Txn, 0) {
		t.delDecision(&c.Txn)
	}
	return nil
}

func (t *tx) delDecision(id *ident.TxnID) {
	t.del(t.key.attempt(tableDecision, id))
	t.meta.Decisions--
}
