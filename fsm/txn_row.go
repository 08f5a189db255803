package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// The rows of transactions. Readers are strict: see reader.

// change is what a transaction makes of a key.
type change struct {
	kind    changeKind
	version api.Version // that of its prepare
	data    []byte
}

type changeKind byte

const (
	changeNone changeKind = iota // the key stays as it is
	changeDelete
	changePut
)

// intents is a row of tableIntent. There is no row without a holder.
type intents struct {
	exclusive bool
	holders   []ident.TxnID // sorted; of an exclusive one just one
	change    change        // of an exclusive one
}

func (x *intents) row() []byte {
	w := writer{b: make([]byte, 0, 64*len(x.holders)+len(x.change.data))}
	w.bool(x.exclusive)
	if !x.exclusive {
		putList(&w, x.holders, putTxnID)
		return w.b
	}
	putTxnID(&w, &x.holders[0])
	if w.byte(byte(x.change.kind)); x.change.kind != changeNone {
		w.version(x.change.version)
		w.raw(x.change.data)
	}
	return w.b
}

func readIntents(r *reader) intents {
	x := intents{exclusive: r.bool()}
	if !x.exclusive {
		x.holders = list(r, MaxReaders, 20, readTxnID)
		for i := range x.holders {
			if i > 0 && x.holders[i-1].Compare(x.holders[i]) >= 0 {
				r.fail("intents out of order")
			}
		}
		if len(x.holders) == 0 {
			r.fail("intents of nobody")
		}
		return x
	}
	x.holders = []ident.TxnID{readTxnID(r)}
	switch x.change.kind = changeKind(r.byte()); x.change.kind {
	case changeNone:
	case changeDelete:
		x.change.version = r.version()
	case changePut:
		x.change.version = r.version()
		x.change.data = r.take(uint64(len(r.b)))
	default:
		r.fail("an unknown kind of change")
	}
	return x
}

// find tells where the transaction's intent is, or would be.
func (x *intents) find(id *ident.TxnID) (int, bool) {
	return slices.BinarySearchFunc(x.holders, *id, ident.TxnID.Compare)
}

// prepared is a row of tablePrepared; its transaction's id stands in the key.
type prepared struct {
	txn           ident.TxnRef
	epoch         Epoch // the dedup epoch here, or a later one that the Prepare named
	index         uint64
	body          [16]byte
	writes, reads []api.Key     // sorted
	voted         []api.Version // of the entries of the vote; nil where version 1 has prepared
}

func (p *prepared) row() []byte {
	w := writer{b: make([]byte, 0, 64+16*(len(p.writes)+len(p.reads)))}
	w.uint(p.txn.Age)
	w.text(string(p.txn.Anchor))
	w.uint(p.txn.Epoch)
	w.uint(uint64(p.epoch))
	w.uint(p.index)
	w.raw(p.body[:])
	putList(&w, p.writes, putKey)
	putList(&w, p.reads, putKey)
	if p.voted != nil {
		putList(&w, p.voted, putVersion)
	}
	return w.b
}

// readPreparedRef reads the beginning of the row.
func readPreparedRef(r *reader) ident.TxnRef {
	return ident.TxnRef{Age: r.uint(), Anchor: r.key(), Epoch: r.uint()}
}

func readPrepared(r *reader) prepared {
	p := prepared{
		txn: readPreparedRef(r), epoch: r.epoch(), index: r.uint(), body: r.array16(),
		writes: list(r, api.MaxTxnOps, 2, (*reader).keyName), reads: list(r, api.MaxTxnOps, 2, (*reader).keyName),
	}
	if len(r.b) > 0 {
		p.voted = append([]api.Version{}, list(r, api.MaxTxnOps, 2, (*reader).version)...)
	}
	return p
}

// finished is a row of tableFinished.
type finished struct {
	outcome ident.TxnOutcome
	epoch   Epoch
}

func (f finished) row() []byte {
	w := writer{b: make([]byte, 0, 8)}
	w.byte(byte(f.outcome))
	w.uint(uint64(f.epoch))
	return w.b
}

func readFinished(r *reader) finished { return finished{readOutcome(r), r.epoch()} }

// decision is a row of tableDecision.
type decision struct {
	outcome      ident.TxnOutcome
	epoch        Epoch
	participants []api.GroupID // sorted
	held         bool
	outcomes     []Outcome
}

func (d *decision) row() []byte {
	w := writer{b: make([]byte, 0, 16+16*len(d.participants)+4*len(d.outcomes))}
	w.byte(byte(d.outcome))
	w.uint(uint64(d.epoch))
	if d.outcome == ident.TxnCommitted {
		putList(&w, d.participants, putGroup)
		w.bool(d.held)
		putOutcomes(&w, d.outcomes, api.Version{})
	}
	return w.b
}

func readDecision(r *reader) decision {
	d := decision{outcome: readOutcome(r), epoch: r.epoch()}
	if d.outcome == ident.TxnCommitted {
		d.participants, d.held, d.outcomes = readGroups(r), r.bool(), readOutcomes(r, api.Version{})
	}
	return d
}

func groupsRow(gs []api.GroupID) []byte {
	w := writer{b: make([]byte, 0, 16*len(gs))}
	putList(&w, gs, putGroup)
	return w.b
}

func readGroups(r *reader) []api.GroupID {
	gs := list(r, maxGroups, 1, readGroup)
	for i := range gs {
		if i > 0 && gs[i-1] >= gs[i] {
			r.fail("groups out of order")
		}
	}
	return gs
}

// readAttempt reads the key of a row that belongs to an attempt, after its table.
func readAttempt(t byte, r *reader) ident.TxnID {
	id := ident.TxnID{Client: r.array16(), Seq: r.fixed64(), Attempt: r.fixed64()}
	if t == tablePrepared || t == tableFinished {
		if n := len(r.b); n == 0 || n > maxNameBytes {
			r.fail("the name of a group over its limit, or empty")
		}
		id.Decider = api.GroupID(r.take(uint64(len(r.b))))
	}
	return id
}
