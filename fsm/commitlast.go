package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

const kindCommitLast kind = 19

// CommitLast is the last prepare and the commit in one command. If all conditions in If hold and every step of Then can be
// carried out, the steps take effect and the attempt is committed, all in this entry. The group is the decision group. CommitLast
// is refused like a Prepare, and with [Finished] if the attempt was aborted or is too old. It is never sent to another group. If
// it is sent again after it has committed, Result.Decision says so and Result.Txn is not set.
type CommitLast struct {
	Term       api.Term
	Txn        ident.TxnRef
	AckedBelow uint64 // as in [api.RequestID]
	If         []api.Cond
	Then       []api.Op
	Claim      *Claim
	// Participants are the other groups, which have prepared.
	Participants []api.GroupID
	// Held and Outcomes are as in Decide, but the outcomes of this command's own steps, whose positions are in Places, are not
	// known yet. Without Outcomes, the steps of Then are the whole branch.
	Held     bool
	Outcomes []Outcome
	Places   []uint32
	Cleared  []ident.DroppedLease
	Killed   []ident.SessionID
	Now      uint64 // as in a Write
}

func (CommitLast) kind() kind { return kindCommitLast }

func (c CommitLast) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	putTxnRef(w, &c.Txn)
	w.Uint(c.AckedBelow)
	putPart(w, c.If, c.Then)
	putClaim(w, c.Claim)
	codec.PutList(w, c.Participants, codec.PutGroup)
	w.Bool(c.Held)
	putOutcomes(w, c.Outcomes, api.Version{})
	codec.PutList(w, c.Places, func(w *codec.Writer, p *uint32) { w.Uint(uint64(*p)) })
	codec.PutList(w, c.Cleared, putDropped)
	codec.PutList(w, c.Killed, putSessionID)
	putNow(w, c.Now)
}

func readCommitLast(r *codec.Reader) CommitLast {
	c := CommitLast{Term: api.Term(r.Uint()), Txn: readTxnRef(r), AckedBelow: r.Uint()}
	c.If, c.Then = readPart(r)
	c.Claim, c.Participants, c.Held = readClaim(r, &c.Txn.ID), groupList(r), r.Bool()
	c.Outcomes = readOutcomes(r, api.Version{})
	c.Places = codec.List(r, api.MaxTxnOps, 1, (*codec.Reader).Uint32)
	c.Cleared, c.Killed, c.Now = readDropped(r), readSessions(r), readNow(r)
	return c
}

func (c *CommitLast) check(v *view) *api.Error {
	if err := v.checkPart(&c.Txn, c.If, c.Then, c.Claim); err != nil {
		return err
	}
	if slices.Contains(c.Participants, c.Txn.ID.Decider) {
		return api.Errorf(api.CodeInvalid, "the group that commits last is no other participant")
	}
	if len(c.Outcomes) == 0 && len(c.Places) == 0 {
		return nil
	}
	if len(c.Places) != len(c.Then) {
		return api.Errorf(api.CodeInvalid, "%d places for %d steps", len(c.Places), len(c.Then))
	}
	for i, p := range c.Places {
		if int(p) >= len(c.Outcomes) || i > 0 && c.Places[i-1] >= p {
			return api.Errorf(api.CodeInvalid, "the places do not rise within the %d steps", len(c.Outcomes))
		}
	}
	return nil
}

// commitLast is prepare, decide and resolve in one.
func (t *tx) commitLast(c *CommitLast, res *Result) *api.Error {
	if err := t.member(c.Txn.ID.Decider); err != nil {
		return err
	}
	if err := c.check(&t.view); err != nil {
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
	t.pass(c.Now)
	does, err := t.examine(&p, guardLeaseCheck, res)
	if err != nil {
		return err
	}
	t.meta.Now = t.now
	t.clear(&p, does.writes, res)
	if len(c.Participants) > 0 {
		t.across = txnOf(&c.Txn.ID)
	}
	if t.rules.evaluates {
		does.entries, res.Deadlines = t.conclude(&t.room.evaluation, t.index), t.room.evaluation.deadlines()
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

// whole adds the outcomes of a CommitLast's own steps to those of the others.
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
