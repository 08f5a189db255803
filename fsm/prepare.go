package fsm

import (
	"crypto/sha256"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// prepare locks and keeps a group's part of a transaction. What became of the attempt here goes before everything; then the
// term, the claim, ownership, intents, conditions, steps, leases.
func (t *tx) prepare(c *Prepare, res *Result) *api.Error {
	if err := t.member(c.Group); err != nil {
		return err
	}
	if err := checkPart(&c.Txn, c.If, c.Then, c.Claim); err != nil {
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
	does, err := t.examine(&p, guardRevokeAtPrepare, res)
	if err != nil {
		return err
	}
	if err := t.roomForReaders(does.reads); err != nil {
		return err
	}
	t.clear(&p, does.writes, res)
	row := prepared{
		txn: c.Txn, epoch: max(t.meta.DedupEpoch, Epoch(c.Epoch)), index: t.index, body: body, writes: does.writes, reads: does.reads,
	}
	if t.rules.evaluates {
		does.entries, does.made = t.conclude(&t.room.evaluation, t.index), t.room.evaluation.made()
		row.voted = versionsOf(does.entries)
	}
	t.lock(&c.Txn.ID, does.writes, does.reads, does.made)
	t.set(t.key.attempt(tablePrepared, &c.Txn.ID), row.row())
	t.meta.Prepared++
	res.Txn = t.vote(c.Then, does.entries, t.index)
	return nil
}

// member refuses what is meant for another group.
func (t *tx) member(g api.GroupID) *api.Error {
	if err := t.founded(); err != nil {
		return err
	}
	if g != t.meta.Group {
		return api.Errorf(api.CodeWrongGroup, "a transaction's message for the group %s came to %s", g, t.meta.Group)
	}
	return nil
}

// bodyOf tells Prepares of one attempt apart.
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

func errTooOld() *api.Error {
	return &api.Error{Code: Finished, Hint: "the transaction is older than what is remembered here"}
}

// below tells whether the transaction is one that its client has acknowledged.
func (v *view) below(id *ident.TxnID, ackedBelow uint64) bool {
	return id.Seq > 0 && id.Seq < max(ackedBelow, v.client(id.Client).ackedBelow)
}

// voteAgain repeats the vote: the intents have kept everything what it was.
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

// part is what a Prepare and a CommitLast have in common.
type part struct {
	txn        *ident.TxnRef
	ackedBelow uint64
	epoch      uint64 // of the group that is to carry the part out, as it was told
	conds      []api.Cond
	branch     []api.Op
	claim      *Claim
	cleared    []api.DroppedLease
	killed     []api.SessionID
}

// doing is what a part would do.
type doing struct {
	writes, reads []api.Key
	entries       []api.Entry
	made          map[api.Key]change
}

// examine refuses a part that cannot be carried out, and else tells what it does. An evaluation is concluded by the caller.
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
	id := t.request(p)
	rec, err := t.stored(&id, p.txn.Anchor, p.claim.Body)
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

// request is the id of the request whose attempt the part is. The epoch that a part names is its own group's.
func (v *view) request(p *part) api.RequestID {
	id := api.RequestID{Client: p.txn.ID.Client, Seq: p.txn.ID.Seq, AckedBelow: p.ackedBelow}
	if p.epoch > 0 {
		id.Epoch = api.DedupEpoch{Group: v.meta.Group, Incarnation: v.meta.Incarnation, Count: p.epoch}
	}
	return id
}

// clear takes what is in the way out of it, makes the claim, and notes what the client has acknowledged.
func (t *tx) clear(p *part, writes []api.Key, res *Result) {
	t.kill(p.killed, writes, res)
	t.drop(p.cleared)
	id := t.request(p)
	if p.claim == nil {
		t.acknowledge(id.Client, p.ackedBelow, t.epochFor(id.Epoch))
		return
	}
	rec := Record{
		Client: id.Client, Seq: id.Seq, Anchor: p.txn.Anchor, Body: p.claim.Body, Epoch: t.epochFor(id.Epoch),
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
