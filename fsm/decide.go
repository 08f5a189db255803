package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// decided is what the group has decided on an attempt, if it remembers anything.
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

// owing are the participants that have not resolved.
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

// decide makes the decision, unless one was made before or nothing is remembered that could tell.
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
		// Whoever is told this must be told the same for ever: so long as a Decide may come, the client's row stays.
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

// tooOld tells whether nothing is remembered of the attempt, if there was anything: it is aborted then, or was resolved.
func (v *view) tooOld(ref *ident.TxnRef, ackedBelow uint64) bool {
	return guardWatermark && (v.below(&ref.ID, ackedBelow) || ref.Epoch > 0 && Epoch(ref.Epoch).expired(v.meta.DedupEpoch))
}

// over reports whether an attempt without a record was aborted: it is so old that the record of an abort may have gone, and
// not so old that the record of a commit may have. What is not known to be young enough cannot be committed any more.
func (v *view) over(ref *ident.TxnRef, outcome ident.TxnOutcome) bool {
	if !v.rules.shortAborts || !guardAttemptAge {
		return false
	}
	if ref.Epoch == 0 { // its sender vouches that it is not a day old
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

func (t *tx) decideCommand(c *Decide, res *Result) *api.Error {
	d := &decision{outcome: c.Outcome}
	if c.Outcome == ident.TxnCommitted {
		d.participants, d.held, d.outcomes = slices.Clone(c.Participants), c.Held, ownValues(c.Outcomes)
	}
	return t.decide(&c.Txn, c.AckedBelow, d, res)
}

func (t *tx) push(c *Push, res *Result) *api.Error {
	return t.decide(&c.Txn, 0, &decision{outcome: ident.TxnAborted}, res)
}

// ownValues are outcomes that share nothing with a command.
func ownValues(in []Outcome) []Outcome {
	out := slices.Clone(in)
	for i := range out {
		out[i].Value = slices.Clone(out[i].Value)
	}
	return out
}

// resolved notes that a participant has resolved. A decision that nobody will ask for any more goes.
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

// commitLast is prepare, decide and resolve in one.
func (t *tx) commitLast(c *CommitLast, res *Result) *api.Error {
	if err := t.member(c.Txn.ID.Decider); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	if d := t.decided(&c.Txn.ID); d != nil {
		if res.Decision = d; d.Outcome == ident.TxnCommitted {
			return nil
		}
		return &api.Error{Code: Finished, Hint: "the transaction was aborted"}
	}
	if t.tooOld(&c.Txn, c.AckedBelow) {
		res.Decision = &Decision{Txn: c.Txn.ID, Outcome: ident.TxnAborted, Expired: true}
		return errTooOld()
	}
	if t.over(&c.Txn, ident.TxnCommitted) {
		res.Decision = &Decision{Txn: c.Txn.ID, Outcome: ident.TxnAborted}
		return errTooOld()
	}
	if err := t.judged(c.Term); err != nil {
		return err
	}
	if err := t.roomForDecision(); err != nil {
		return err
	}
	p := part{&c.Txn, c.AckedBelow, c.Txn.Epoch, c.If, c.Then, c.Claim, c.Cleared, c.Killed}
	does, err := t.examine(&p, guardLeaseCheck, res)
	if err != nil {
		return err
	}
	t.clear(&p, does.writes, res)
	if t.rules.evaluates {
		does.entries = t.conclude(&t.room.evaluation, t.index)
		t.settleAll(&t.room.evaluation)
	} else {
		for _, k := range does.writes {
			made := does.made[k]
			t.settle(k, &made)
		}
	}
	res.Txn = t.vote(c.Then, does.entries, t.index)
	d := &decision{outcome: ident.TxnCommitted, participants: slices.Clone(c.Participants), held: c.Held}
	if t.rules.keepsValues {
		d.outcomes = whole(c, outcomes(nil, c.Then, does.entries))
		fit(d.outcomes, MaxRecordBytes)
	} else {
		d.outcomes = whole(c, outcomesV1(nil, c.Then, does.entries))
	}
	t.enterDecision(&c.Txn, d, res)
	return nil
}

// whole puts the outcomes of a CommitLast's own steps to those of the others.
func whole(c *CommitLast, own []Outcome) []Outcome {
	if len(c.Outcomes) == 0 {
		return own
	}
	all := ownValues(c.Outcomes)
	for i, p := range c.Places {
		all[p] = own[i]
	}
	return all
}
