package fsm

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

func putTxnID(w *codec.Writer, id *ident.TxnID) {
	w.Raw(id.Client[:])
	w.Uint(id.Seq)
	w.Uint(id.Attempt)
	w.Text(string(id.Decider))
}

func readTxnID(r *codec.Reader) ident.TxnID {
	return ident.TxnID{Client: r.Array16(), Seq: r.Uint(), Attempt: r.Uint(), Decider: r.Group()}
}

func putTxnRef(w *codec.Writer, t *ident.TxnRef) {
	putTxnID(w, &t.ID)
	w.Uint(t.Age)
	w.Text(string(t.Anchor))
	w.Uint(t.Epoch)
}

func readTxnRef(r *codec.Reader) ident.TxnRef {
	return ident.TxnRef{ID: readTxnID(r), Age: r.Uint(), Anchor: r.Key(), Epoch: r.Uint()}
}

func readOutcome(r *codec.Reader) ident.TxnOutcome {
	o := ident.TxnOutcome(r.Byte())
	if r.Fault() == "" && o != ident.TxnCommitted && o != ident.TxnAborted {
		r.Fail("an outcome that is none")
	}
	return o
}

// A claim: one byte where there is none. The client and sequence of the attempt before are the transaction's own.

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

// groupList reads what codec.PutGroup wrote, in any order.
func groupList(r *codec.Reader) []api.GroupID {
	return codec.List(r, maxGroups, 1, (*codec.Reader).Group)
}

func putPart(w *codec.Writer, conds []api.Cond, ops []api.Op) {
	codec.PutList(w, conds, codec.PutCond)
	codec.PutList(w, ops, codec.PutOp)
}

func readPart(r *codec.Reader) ([]api.Cond, []api.Op) {
	return r.Conds(), r.Ops()
}

func (c Prepare) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	w.Text(string(c.Group))
	putTxnRef(w, &c.Txn)
	w.Uint(c.AckedBelow)
	w.Uint(c.Epoch)
	putPart(w, c.If, c.Then)
	putClaim(w, c.Claim)
	codec.PutList(w, c.Cleared, putDropped)
	codec.PutList(w, c.Killed, putSessionID)
}

func readPrepare(r *codec.Reader) Prepare {
	c := Prepare{Term: api.Term(r.Uint()), Group: r.Group(), Txn: readTxnRef(r), AckedBelow: r.Uint(), Epoch: r.Uint()}
	c.If, c.Then = readPart(r)
	c.Claim, c.Cleared, c.Killed = readClaim(r, &c.Txn.ID), readDropped(r), readSessions(r)
	return c
}

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

func (c Push) put(w *codec.Writer) { putTxnRef(w, &c.Txn) }

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
}

func readCommitLast(r *codec.Reader) CommitLast {
	c := CommitLast{Term: api.Term(r.Uint()), Txn: readTxnRef(r), AckedBelow: r.Uint()}
	c.If, c.Then = readPart(r)
	c.Claim, c.Participants, c.Held = readClaim(r, &c.Txn.ID), groupList(r), r.Bool()
	c.Outcomes = readOutcomes(r, api.Version{})
	c.Places = codec.List(r, api.MaxTxnOps, 1, (*codec.Reader).Uint32)
	c.Cleared, c.Killed = readDropped(r), readSessions(r)
	return c
}

func (c Resolve) put(w *codec.Writer) {
	w.Text(string(c.Group))
	putTxnID(w, &c.Txn)
	w.Byte(byte(c.Outcome))
}

func (c Resolved) put(w *codec.Writer) {
	putTxnID(w, &c.Txn)
	w.Text(string(c.Group))
}

func (c Forget) put(w *codec.Writer) {
	w.Raw(c.Client[:])
	w.Uint(c.Below)
}
