package fsm

import (
	"crypto/sha256"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// The commands of transactions across groups. docs/decisions/0011 describes how they work together.

const kindPrepare kind = 16

// Prepare is one group's part of a transaction. If all conditions in If hold and every step of Then can be carried out, it locks
// the keys that they name and stores what the steps make, invisible to all readers. Keys that Then writes get exclusive intents,
// all others shared ones. Result.Txn is the vote: an Entry for each step, at the versions that a commit will give them. Sent
// again, it votes the same.
//
// A refusal is the vote no: [Finished] if the attempt is over here; [Attempted] if Claim meets another attempt; [RetryIntents] if
// another transaction is in the way; [RetryLeases] as for a [Write]; CodePreconditionFailed if a condition does not hold or a
// step cannot be carried out.
type Prepare struct {
	Term api.Term
	// Group is the participant. The machine of any other group refuses the command with CodeWrongGroup.
	Group api.GroupID
	Txn   ident.TxnRef
	// AckedBelow is as in [api.RequestID].
	AckedBelow uint64
	// Epoch is the count of the participant's own dedup epoch, as in [api.RequestID].
	Epoch uint64
	If    []api.Cond
	Then  []api.Op
	// Claim, if set, is for the group that owns Txn.Anchor. A Prepare that has only a Claim locks nothing.
	Claim *Claim
	// Cleared and Killed are as in a Write.
	Cleared []ident.DroppedLease
	Killed  []ident.SessionID
	// Now is as in a Write. What lives for a time counts from the Prepare, not from when the transaction is resolved.
	Now uint64
}

func (Prepare) kind() kind { return kindPrepare }

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
	putNow(w, c.Now)
}

func readPrepare(r *codec.Reader) Prepare {
	c := Prepare{Term: api.Term(r.Uint()), Group: r.Group(), Txn: readTxnRef(r), AckedBelow: r.Uint(), Epoch: r.Uint()}
	c.If, c.Then = readPart(r)
	c.Claim, c.Cleared, c.Killed, c.Now = readClaim(r, &c.Txn.ID), readDropped(r), readSessions(r), readNow(r)
	return c
}

// prepared is a row of tablePrepared; its transaction's id stands in the key.
type prepared struct {
	txn           ident.TxnRef
	epoch         Epoch // the dedup epoch here, or a later one that the Prepare named
	index         uint64
	body          [16]byte
	writes, reads []api.Key     // sorted
	voted         []api.Version // of the entries of the vote; nil if version 1 has prepared
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

// prepared is the attempt's row, while it is prepared here.
func (v *view) prepared(id *ident.TxnID) (prepared, bool) {
	if v.meta.Prepared == 0 {
		return prepared{}, false
	}
	row, ok := v.get(v.key.attempt(tablePrepared, id))
	if !ok {
		return prepared{}, false
	}
	p := parse(row, readPrepared)
	p.txn.ID = *id
	return p, true
}

// prepare locks and stores a group's part of a transaction. It checks in this order: the outcome of the attempt here, the term,
// the claim, ownership, intents, conditions, steps, leases.
func (t *tx) prepare(c *Prepare, res *Result) *api.Error {
	if err := t.member(c.Group); err != nil {
		return err
	}
	if err := t.checkPart(&c.Txn, c.If, c.Then, c.Claim); err != nil {
		return err
	}
	body := bodyOf(c)
	if p, ok := t.prepared(&c.Txn.ID); ok {
		return t.voteAgain(c, &p, body, res)
	}
	if err := t.late(c, res); err != nil {
		return err
	}
	if err := t.judged(c.Term); err != nil {
		return err
	}
	if t.meta.Prepared >= t.limits.prepared || t.meta.Prepared+t.meta.Finished >= t.limits.finished {
		return api.Errorf(api.CodeUnavailable, "the group is at its limit of %d transactions that are prepared, or of %d that are remembered",
			t.limits.prepared, t.limits.finished)
	}
	p := part{&c.Txn, c.AckedBelow, c.Epoch, c.If, c.Then, c.Claim, c.Cleared, c.Killed}
	t.pass(c.Now)
	does, err := t.examine(&p, guardRevokeAtPrepare, res)
	if err != nil {
		return err
	}
	if err := t.roomForReaders(does.reads); err != nil {
		return err
	}
	t.meta.Now = t.now
	t.clear(&p, does.writes, res)
	row := prepared{
		txn: c.Txn, epoch: max(t.meta.DedupEpoch, Epoch(c.Epoch)), index: t.index, body: body, writes: does.writes, reads: does.reads,
	}
	if t.rules.evaluates {
		does.entries, does.made = t.conclude(&t.room.evaluation, t.index), t.room.evaluation.made()
		res.Deadlines = t.room.evaluation.deadlines()
		row.voted = versionsOf(does.entries)
	}
	t.lock(&c.Txn.ID, does.writes, does.reads, does.made)
	t.set(t.key.attempt(tablePrepared, &c.Txn.ID), row.row())
	t.meta.Prepared++
	res.Txn = t.vote(c.Then, does.entries, t.index)
	return nil
}

// bodyOf distinguishes Prepares of one attempt.
func bodyOf(c *Prepare) (body [16]byte) {
	var w codec.Writer
	putPart(&w, c.If, c.Then)
	w.Bool(c.Claim != nil)
	sum := sha256.Sum256(w.B)
	copy(body[:], sum[:])
	return body
}

// late refuses a Prepare of an attempt that is over here.
func (v *view) late(c *Prepare, res *Result) *api.Error {
	id := &c.Txn.ID
	if f, ok := v.finished(id); ok && guardFinished {
		res.Decision = &Decision{Txn: *id, Outcome: f.outcome}
		return &api.Error{Code: Finished, Hint: "the transaction is over here: " + f.outcome.String()}
	}
	if v.below(id, c.AckedBelow) || c.Epoch > 0 && Epoch(c.Epoch).expired(v.meta.DedupEpoch) {
		return errTooOld()
	}
	return nil
}

// voteAgain repeats the vote: the intents have kept everything unchanged.
func (t *tx) voteAgain(c *Prepare, p *prepared, body [16]byte, res *Result) *api.Error {
	if p.body != body {
		return api.Errorf(api.CodeConflict, "the transaction has prepared something else here")
	}
	if p.voted == nil { // prepared by version 1
		entries, _, err := t.draftsV1(c.Then, p.index)
		if err == nil {
			res.Txn = t.vote(c.Then, entries, p.index)
		}
		return err
	}
	if err := t.evaluate(&t.room.evaluation, c.Then); err != nil { // it was carried out before
		return err
	}
	entries := t.room.evaluation.entries
	for i := range entries {
		entries[i].Version = p.voted[i]
	}
	res.Txn = t.vote(c.Then, entries, p.index)
	return nil
}

// versionsOf are the versions in a vote. They are kept: while the keys are locked their values stay, but the version of an
// absence may rise.
func versionsOf(entries []api.Entry) []api.Version {
	versions := make([]api.Version, len(entries))
	for i := range entries {
		versions[i] = entries[i].Version
	}
	return versions
}

// Prepared is a transaction that has prepared in the group and is not resolved.
type Prepared struct {
	Txn ident.TxnRef
	// Index is that of the Prepare.
	Index uint64
	// Written and Read are the keys with its exclusive and shared intents, sorted.
	Written, Read []api.Key
}
