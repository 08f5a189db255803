package fsm

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

func putTxnID(w *writer, id *ident.TxnID) {
	w.raw(id.Client[:])
	w.uint(id.Seq)
	w.uint(id.Attempt)
	w.text(string(id.Decider))
}

func readTxnID(r *reader) ident.TxnID {
	return ident.TxnID{Client: r.array16(), Seq: r.uint(), Attempt: r.uint(), Decider: readGroup(r)}
}

func putTxnRef(w *writer, t *ident.TxnRef) {
	putTxnID(w, &t.ID)
	w.uint(t.Age)
	w.text(string(t.Anchor))
	w.uint(t.Epoch)
}

func readTxnRef(r *reader) ident.TxnRef {
	return ident.TxnRef{ID: readTxnID(r), Age: r.uint(), Anchor: r.key(), Epoch: r.uint()}
}

func readOutcome(r *reader) ident.TxnOutcome {
	o := ident.TxnOutcome(r.byte())
	if r.bad == "" && o != ident.TxnCommitted && o != ident.TxnAborted {
		r.fail("an outcome that is none")
	}
	return o
}

// A claim: one byte where there is none. The client and sequence of the attempt before are the transaction's own.

func putClaim(w *writer, c *Claim) {
	w.bool(c != nil)
	if c == nil {
		return
	}
	w.raw(c.Body[:])
	w.uint(c.After.Attempt)
	w.text(string(c.After.Decider))
}

func readClaim(r *reader, id *ident.TxnID) *Claim {
	if !r.bool() {
		return nil
	}
	c := &Claim{Body: r.array16(), After: ident.TxnID{Attempt: r.uint(), Decider: readGroup(r)}}
	if (c.After.Attempt == 0) != (c.After.Decider == "") {
		r.fail("half of an attempt")
	}
	if c.After.Attempt != 0 {
		c.After.Client, c.After.Seq = id.Client, id.Seq
	}
	return c
}

// groupList reads what putGroup wrote, in any order.
func groupList(r *reader) []api.GroupID { return list(r, maxGroups, 1, readGroup) }

func putPart(w *writer, conds []api.Cond, ops []api.Op) {
	putList(w, conds, putCond)
	putList(w, ops, putOp)
}

func readPart(r *reader) ([]api.Cond, []api.Op) {
	return list(r, api.MaxTxnOps, 2, readCond), list(r, api.MaxTxnOps, 2, readOp)
}

func (c Prepare) put(w *writer) {
	w.uint(uint64(c.Term))
	w.text(string(c.Group))
	putTxnRef(w, &c.Txn)
	w.uint(c.AckedBelow)
	w.uint(c.Epoch)
	putPart(w, c.If, c.Then)
	putClaim(w, c.Claim)
	putList(w, c.Cleared, putDropped)
	putList(w, c.Killed, putSession)
}

func readPrepare(r *reader) Prepare {
	c := Prepare{Term: api.Term(r.uint()), Group: readGroup(r), Txn: readTxnRef(r), AckedBelow: r.uint(), Epoch: r.uint()}
	c.If, c.Then = readPart(r)
	c.Claim, c.Cleared, c.Killed = readClaim(r, &c.Txn.ID), readDropped(r), readSessions(r)
	return c
}

func (c Decide) put(w *writer) {
	putTxnRef(w, &c.Txn)
	w.uint(c.AckedBelow)
	w.byte(byte(c.Outcome))
	putList(w, c.Participants, putGroup)
	w.bool(c.Held)
	putOutcomes(w, c.Outcomes, api.Version{})
}

func readDecide(r *reader) Decide {
	return Decide{
		Txn: readTxnRef(r), AckedBelow: r.uint(), Outcome: readOutcome(r), Participants: groupList(r), Held: r.bool(),
		Outcomes: readOutcomes(r, api.Version{}),
	}
}

func (c Push) put(w *writer) { putTxnRef(w, &c.Txn) }

func (c CommitLast) put(w *writer) {
	w.uint(uint64(c.Term))
	putTxnRef(w, &c.Txn)
	w.uint(c.AckedBelow)
	putPart(w, c.If, c.Then)
	putClaim(w, c.Claim)
	putList(w, c.Participants, putGroup)
	w.bool(c.Held)
	putOutcomes(w, c.Outcomes, api.Version{})
	putList(w, c.Places, func(w *writer, p *uint32) { w.uint(uint64(*p)) })
	putList(w, c.Cleared, putDropped)
	putList(w, c.Killed, putSession)
}

func readCommitLast(r *reader) CommitLast {
	c := CommitLast{Term: api.Term(r.uint()), Txn: readTxnRef(r), AckedBelow: r.uint()}
	c.If, c.Then = readPart(r)
	c.Claim, c.Participants, c.Held = readClaim(r, &c.Txn.ID), groupList(r), r.bool()
	c.Outcomes = readOutcomes(r, api.Version{})
	c.Places = list(r, api.MaxTxnOps, 1, (*reader).uint32)
	c.Cleared, c.Killed = readDropped(r), readSessions(r)
	return c
}

func (c Resolve) put(w *writer) {
	w.text(string(c.Group))
	putTxnID(w, &c.Txn)
	w.byte(byte(c.Outcome))
}

func (c Resolved) put(w *writer) {
	putTxnID(w, &c.Txn)
	w.text(string(c.Group))
}

func (c Forget) put(w *writer) {
	w.raw(c.Client[:])
	w.uint(c.Below)
}
