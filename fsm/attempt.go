package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

func checkID(id *ident.TxnID) *api.Error {
	if id.Client == (api.ClientID{}) || id.Attempt == 0 || id.Decider == "" {
		return api.Errorf(api.CodeInvalid, "a transaction's id needs a client, an attempt and a decision group")
	}
	return nil
}

// member refuses a command that is meant for another group.
func (t *tx) member(g api.GroupID) *api.Error {
	if err := t.founded(); err != nil {
		return err
	}
	if g != t.meta.Group {
		return api.Errorf(api.CodeWrongGroup, "a transaction's message for the group %s came to %s", g, t.meta.Group)
	}
	return nil
}

// below reports whether the client has acknowledged the transaction.
func (v *view) below(id *ident.TxnID, ackedBelow uint64) bool {
	return id.Seq > 0 && id.Seq < max(ackedBelow, v.client(id.Client).ackedBelow)
}

func errTooOld() *api.Error {
	return &api.Error{Code: Finished, Hint: "the transaction is older than what is remembered here"}
}

// attempts visits the rows that belong to attempts.
func (v *view) attempts(table byte, after ident.TxnID, limit int, visit func(ident.TxnID, []byte)) {
	if limit <= 0 {
		return
	}
	lo := []byte{table}
	if !after.IsZero() {
		lo = append(slices.Clone(v.key.attempt(table, &after)), 0)
	}
	v.scan(lo, []byte{table + 1}, func(k, row []byte) bool {
		visit(readAttempt(table, &codec.Reader{B: slices.Clone(k[1:])}), row)
		limit--
		return limit > 0
	})
}

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

// readAttempt reads the key of a row that belongs to an attempt, after its table.
func readAttempt(t byte, r *codec.Reader) ident.TxnID {
	id := ident.TxnID{Client: r.Array16(), Seq: r.Fixed64(), Attempt: r.Fixed64()}
	if t == tablePrepared || t == tableFinished {
		if n := len(r.B); n == 0 || n > codec.MaxNameBytes {
			r.Fail("the name of a group over its limit, or empty")
		}
		id.Decider = api.GroupID(r.Take(uint64(len(r.B))))
	}
	return id
}

// groupList reads what codec.PutGroup wrote, in any order.
func groupList(r *codec.Reader) []api.GroupID {
	return codec.List(r, maxGroups, 1, (*codec.Reader).Group)
}

func groupsRow(gs []api.GroupID) []byte {
	w := codec.Writer{B: make([]byte, 0, 16*len(gs))}
	codec.PutList(&w, gs, codec.PutGroup)
	return w.B
}

func readGroups(r *codec.Reader) []api.GroupID {
	gs := codec.List(r, maxGroups, 1, (*codec.Reader).Group)
	for i := range gs {
		if i > 0 && gs[i-1] >= gs[i] {
			r.Fail("groups out of order")
		}
	}
	return gs
}

const kindResolve kind = 20

// Resolve ends a participant's part: what was prepared takes effect, or does not, as the decision group has decided. Only a
// Decision may be passed on, because no other node knows the outcome. A Prepare that comes after it is refused. Repeated, it does
// nothing. It is refused with CodeConflict if the other outcome was resolved before.
type Resolve struct {
	Group   api.GroupID
	Txn     ident.TxnID
	Outcome ident.TxnOutcome
}

func (Resolve) kind() kind { return kindResolve }

func (c Resolve) put(w *codec.Writer) {
	w.Text(string(c.Group))
	putTxnID(w, &c.Txn)
	w.Byte(byte(c.Outcome))
}

func readResolve(r *codec.Reader) Resolve { return Resolve{r.Group(), readTxnID(r), readOutcome(r)} }

// resolve ends the group's part of an attempt.
func (t *tx) resolve(c *Resolve, res *Result) *api.Error {
	if err := t.member(c.Group); err != nil {
		return err
	}
	if err := checkID(&c.Txn); err != nil {
		return err
	}
	if f, ok := t.finished(&c.Txn); ok {
		if f.outcome != c.Outcome {
			return api.Errorf(api.CodeConflict, "the transaction was resolved as %v, and is now said to be %v", f.outcome, c.Outcome)
		}
		return nil
	}
	p, ok := t.prepared(&c.Txn)
	if ok {
		t.across = txnOf(&c.Txn)
		t.unlock(&p, c.Outcome == ident.TxnCommitted)
		t.del(t.key.attempt(tablePrepared, &c.Txn))
		t.meta.Prepared--
	}
	id := c.Txn
	res.Effect.Resolved = &id
	// A late Prepare is refused: by this note, or because its client has acknowledged the transaction. If nothing had been
	// prepared, its intents would be orphans, which a push removes: a note for which there is no room may be missing.
	if t.below(&c.Txn, 0) || !ok && t.meta.Prepared+t.meta.Finished >= t.limits.finished {
		return nil
	}
	t.set(t.key.attempt(tableFinished, &c.Txn), finished{c.Outcome, max(t.meta.DedupEpoch, p.epoch)}.row())
	t.meta.Finished++
	return nil
}

// finished is a row of tableFinished.
type finished struct {
	outcome ident.TxnOutcome
	epoch   Epoch
}

func (f finished) row() []byte {
	w := codec.Writer{B: make([]byte, 0, 8)}
	w.Byte(byte(f.outcome))
	w.Uint(uint64(f.epoch))
	return w.B
}

func readFinished(r *codec.Reader) finished { return finished{readOutcome(r), readEpoch(r)} }

// finished is what is stored about an attempt that is over here.
func (v *view) finished(id *ident.TxnID) (finished, bool) {
	if v.meta.Finished == 0 {
		return finished{}, false
	}
	row, ok := v.get(v.key.attempt(tableFinished, id))
	if !ok {
		return finished{}, false
	}
	return parse(row, readFinished), true
}

func (t *tx) delFinished(id *ident.TxnID) {
	t.del(t.key.attempt(tableFinished, id))
	t.meta.Finished--
}
