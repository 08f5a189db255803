package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
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
	w := codec.Writer{B: make([]byte, 0, 64*len(x.holders)+len(x.change.data))}
	w.Bool(x.exclusive)
	if !x.exclusive {
		codec.PutList(&w, x.holders, putTxnID)
		return w.B
	}
	putTxnID(&w, &x.holders[0])
	if w.Byte(byte(x.change.kind)); x.change.kind != changeNone {
		w.Version(x.change.version)
		w.Raw(x.change.data)
	}
	return w.B
}

func readIntents(r *codec.Reader) intents {
	x := intents{exclusive: r.Bool()}
	if !x.exclusive {
		x.holders = codec.List(r, MaxReaders, 20, readTxnID)
		for i := range x.holders {
			if i > 0 && x.holders[i-1].Compare(x.holders[i]) >= 0 {
				r.Fail("intents out of order")
			}
		}
		if len(x.holders) == 0 {
			r.Fail("intents of nobody")
		}
		return x
	}
	x.holders = []ident.TxnID{readTxnID(r)}
	switch x.change.kind = changeKind(r.Byte()); x.change.kind {
	case changeNone:
	case changeDelete:
		x.change.version = r.Version()
	case changePut:
		x.change.version = r.Version()
		x.change.data = r.Take(uint64(len(r.B)))
	default:
		r.Fail("an unknown kind of change")
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
	w := codec.Writer{B: make([]byte, 0, 64+16*(len(p.writes)+len(p.reads)))}
	w.Uint(p.txn.Age)
	w.Text(string(p.txn.Anchor))
	w.Uint(p.txn.Epoch)
	w.Uint(uint64(p.epoch))
	w.Uint(p.index)
	w.Raw(p.body[:])
	codec.PutList(&w, p.writes, codec.PutKey)
	codec.PutList(&w, p.reads, codec.PutKey)
	if p.voted != nil {
		codec.PutList(&w, p.voted, codec.PutVersion)
	}
	return w.B
}

// readPreparedRef reads the beginning of the row.
func readPreparedRef(r *codec.Reader) ident.TxnRef {
	return ident.TxnRef{Age: r.Uint(), Anchor: r.Key(), Epoch: r.Uint()}
}

func readPrepared(r *codec.Reader) prepared {
	p := prepared{
		txn: readPreparedRef(r), epoch: readEpoch(r), index: r.Uint(), body: r.Array16(),
		writes: codec.List(r, api.MaxTxnOps, 2, (*codec.Reader).KeyName), reads: codec.List(r, api.MaxTxnOps, 2, (*codec.Reader).KeyName),
	}
	if len(r.B) > 0 {
		p.voted = append([]api.Version{}, codec.List(r, api.MaxTxnOps, 2, (*codec.Reader).Version)...)
	}
	return p
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
